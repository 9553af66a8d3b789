#!/bin/sh
# What a door costs: non-blank lines that the compiler's front end reads. Prints a table; exit status 1 if a door is over its budget, or if
# README.md's table is more than a tenth off.
#   measure.sh COMPILER [OPTION]... -- [HEADER BUDGET [BASE]]...     BASE: a header whose own lines are not counted against the budget
compiler=
language=c++
case $1 in */nvcc) language=cu ;; esac
while [ "$1" != -- ]; do
  compiler="$compiler '$1'"
  shift
done
shift
lines() {
  text=$(echo "#include <$1>" | eval "$compiler -E -x $language -") || return
  printf '%s\n' "$text" | grep -v '^#' | grep -c '[^[:space:]]'
}
readme=$(dirname "$0")/../../README.md
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
  own=$((cost - base))
  stated=$(sed -n "s,^| \`$1\` | \([0-9]*\) .*,\1,p" "$readme")
  if [ $((own * 10)) -lt $((${stated:-0} * 9)) ] || [ $((own * 10)) -gt $((${stated:-0} * 11)) ]; then
    echo "README.md says ${stated:-nothing} of $1, it is $own"
    status=1
  fi
done
exit $status
