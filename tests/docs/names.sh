#!/bin/sh
# Checks what pages say of the code by name, in ROOT: in docs/models.md the types (config/models.hpp) and tests (families.hpp) of the table, and that
# no type is left out; on every page the tests that are written `suite.the_law_in_words` or `suite.family`. Prints what is not there; exit status 1 if anything is.
#   names.sh ROOT
cd "$1" || exit
types=$(sed -n 's/^struct \([a-z0-9_]*\) {$/\1/p' include/moesaic/config/models.hpp)
families=$(sed -n '/define MOESAIC_FOR_EACH_FAMILY/,$p' tests/families/families.hpp | grep -o 'X([a-z0-9_]*)' | sed 's/X(\(.*\))/\1/' | grep -vx family)
tests=$(find tests -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' | xargs sed -n 's/^\(TYPED_\)\{0,1\}TEST\(_F\)\{0,1\}(\([a-z0-9_]*\), *\([a-z0-9_]*\)).*/\3.\4/p'; for f in $families; do echo "families.$f"; done)
{
  # | family | ranked → weight | what else | type, type or – | test |
  sed -n 's/^| .* | .* | .* | \(.*\) | `\([a-z0-9_]*\)` |$/\2|\1/p' docs/models.md | while IFS='|' read -r test row; do
    echo "$families" | grep -qx "$test" || echo "docs/models.md: no test of tests/families is named $test"
    for type in $(echo "$row" | grep -o '`[a-z0-9_]*`' | tr -d '`'); do
      echo "$types" | grep -qx "$type" || echo "docs/models.md: no type of config/models.hpp is named $type"
    done
  done
  for type in $types; do
    grep -q "\`$type\`" docs/models.md || echo "docs/models.md: the type $type is missing"
  done
  for family in $families; do
    grep -q "| \`$family\` |\$" docs/models.md || echo "docs/models.md: the test $family is missing"
  done
  for page in README.md docs/*.md; do
    grep -o '`[a-z][a-z0-9_]*\.[a-z0-9_]*_[a-z0-9_]*`' "$page" | tr -d '`' | while read -r name; do
      case $name in *.hpp | *.cpp | *.md) continue ;; esac
      suite=${name%%.*}
      case ${name#*.} in *_*_*_*) ;; *) echo "$tests" | grep -q "^$suite\." || continue ;; esac  # a member of something, say choice.top_k
      echo "$tests" | grep -qxF "$name" || echo "$page: no test is named $name"
    done
  done
} >"${TMPDIR:-/tmp}/moesaic.names.$$"
cat "${TMPDIR:-/tmp}/moesaic.names.$$" >&2
! [ -s "${TMPDIR:-/tmp}/moesaic.names.$$" ]
status=$?
rm -f "${TMPDIR:-/tmp}/moesaic.names.$$"
exit $status
