#!/bin/sh
# What a door costs: non-blank lines that the compiler's front end reads. Prints a table; exit status 1 if a door is over its budget.
#   measure.sh COMPILER [OPTION]... -- [HEADER BUDGET [BASE]]...     BASE: a header whose own lines are not counted against the budget
compiler=
while [ "$1" != -- ]; do
  compiler="$compiler '$1'"
  shift
done
shift
lines() {
  text=$(echo "#include <$1>" | eval "$compiler -E -x c++ -") || return
  printf '%s\n' "$text" | grep -v '^#' | grep -c '[^[:space:]]'
}
status=0
printf '%-22s %8s %8s\n' header lines budget
for door; do
  set -- $door
  cost=$(lines "$1") || exit
  base=0
  if [ $# = 3 ]; then
    base=$(lines "$3") || exit
    printf '%-22s %8d\n' "$3" "$base"
  fi
  printf '%-22s %8d %8d' "$1" "$cost" $((base + $2))
  if [ "$cost" -gt $((base + $2)) ]; then
    echo '  over'
    status=1
  else
    echo
  fi
done
exit $status
