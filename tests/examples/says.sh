#!/bin/sh
# Runs a program and compares all that it prints, and that it ends well.
#   says.sh <expected text> <program> [<argument>...]
expected=$1
shift
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
"$@" >"$said" || exit 1
diff -u "$expected" "$said"
