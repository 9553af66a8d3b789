#!/bin/sh
# Fails if an object file lacks one of the instructions.
#   has_instructions.sh <objdump> <object file> <instruction>...
objdump=$1 object=$2
shift 2
code=$("$objdump" -d --no-show-raw-insn "$object") || exit
status=0
for instruction; do
  count=$(printf '%s\n' "$code" | grep -c "[[:space:]]$instruction\([[:space:]]\|\$\)")
  echo "$instruction: $count"
  [ "$count" -gt 0 ] || status=1
done
exit $status
