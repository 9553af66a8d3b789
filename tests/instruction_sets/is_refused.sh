#!/bin/sh
# Passes if a program ends with exit status 1 and says nothing but one line that matches.
#   is_refused.sh <basic regular expression> <program> [argument]...
expected=$1
shift
said=$("$@" 2>&1)
status=$?
printf '%s\n' "$said"
echo "exit status $status"
[ $status = 1 ] && [ "$(printf '%s\n' "$said" | wc -l)" = 1 ] && printf '%s\n' "$said" | grep -q -x "$expected"
