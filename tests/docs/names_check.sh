#!/bin/sh
# names.sh sees a wrong name of each kind.   names_check.sh ROOT WORK
set -e
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$2/names"
mkdir -p "$2/names/include/moesaic" "$2/names/tests"
cp -r "$1/docs" "$2/names"
: >"$2/names/README.md"
cp -r "$1/include/moesaic/config" "$2/names/include/moesaic"
cp -r "$1/tests/families" "$1/tests/semantics" "$2/names/tests"
cd "$2/names"
rm docs/determinism.md docs/numerics.md docs/cpu.md docs/cuda.md docs/add_an_instruction_set.md  # they name tests of other folders
sed -i 's/| `kimi_k2`, `kimi_linear`, `moonlight` | `kimi_k2` |/| `kimi_k2`, `kimi_liner`, `moonlight` | `kimi_k4` |/' docs/models.md
echo '`top_k.topk_breaks_ties_by_lowest_index`, `top_k.breaks_no_ties`, `topk.topk_breaks_ties_by_lowest_index`, `choice.top_k`' >docs/laws.md
if "$here/names.sh" . 2>out.txt; then exit 1; fi
diff - out.txt <<'END'
docs/models.md: no test of tests/families is named kimi_k4
docs/models.md: no type of config/models.hpp is named kimi_liner
docs/models.md: the type kimi_linear is missing
docs/models.md: the test kimi_k2 is missing
docs/laws.md: no test is named top_k.breaks_no_ties
docs/laws.md: no test is named topk.topk_breaks_ties_by_lowest_index
END
