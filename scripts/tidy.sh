#!/usr/bin/env bash
# clang-tidy, with the checks of .clang-tidy, over every header alone and over our own sources.
#   scripts/tidy.sh [PATH]...      PATH: only what lies there (include/moesaic/num, examples, tests/num); everything without one
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need_packages "${tools[@]}" clang clang-tidy libomp-dev libgtest-dev libbenchmark-dev libcli11-dev nlohmann-json3-dev
say "configuring in build-clang, and writing the headers that models are made of"
cmake --preset clang -DMOESAIC_EXAMPLES=ON -DMOESAIC_TESTS=ON -DMOESAIC_BENCH=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
cmake --build --preset clang --parallel "$jobs" --target golden_checkpoints >/dev/null
for model in extra_v2 extra_v2_f32 extra_v3; do
  cmake --build --preset clang --target "$PWD/build-clang/tests/deepseek_v3/checkpoints/$model.hpp" >/dev/null
done

# tests/headers has one source for every header, so a header is looked at with its own includes only.
pattern='/(examples|bench|tests)/.*\.cpp$'
if [ $# != 0 ]; then
  paths=("$@")
  paths=("${paths[@]%/}")
  pattern="($(IFS='|'; echo "${paths[*]/#include\//tests/headers/}"))(/.*)?(\.cpp)?$"
fi
say "checking"
# The sources of tests/headers include twice on purpose. Colours are on whatever one asks for, in clang-tidy 14.
run-clang-tidy -quiet -p build-clang -j "$jobs" "$pattern" 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' |
  awk '/tests\/headers\/.*duplicate include/ { next } /(error|warning):/ && !seen[$0]++ { print; ++n } END { print ""; print n + 0 " findings"; exit n != 0 }'
