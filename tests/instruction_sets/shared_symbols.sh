#!/bin/sh
# Fails if two object files define a symbol of the same name that matches a pattern: the linker would keep one of them for both.
#   shared_symbols.sh <nm> <pattern> <object file>...
# DW.ref. names data, the address of a personality routine, that is the same for everybody.
nm=$1 pattern=$2
shift 2
all=$(for object; do
  "$nm" --defined-only --extern-only --format=posix "$object" | cut -d' ' -f1 | grep -v '^DW[.]ref[.]' | grep "$pattern" ||
    echo "nothing in $object"
done)
twice=$(printf '%s\n' "$all" | sort | uniq -d)
printf '%s\n' "$all" | grep '^nothing in ' && exit 1
echo "$(printf '%s\n' "$all" | wc -l) symbols in $# objects"
[ -z "$twice" ] || { echo "defined twice: $twice"; exit 1; }
