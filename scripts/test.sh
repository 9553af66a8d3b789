#!/usr/bin/env bash
# Passes all tests: installs what it needs, builds everything, runs ctest. The last line counts tests; the exit status is 0 only if some ran and none failed.
#   bash scripts/test.sh [release|no-kokkos|clang|asan|tsan|fuzz]
set -euo pipefail
preset=${1:-release}
. "$(dirname "$0")/setup.sh"

packages=("${tools[@]}" libgtest-dev libbenchmark-dev libcli11-dev nlohmann-json3-dev qemu-user)
packages+=(clang libclang-rt-dev)  # for the fuzz targets, whatever compiler builds the rest
[ "$(uname -m)" != x86_64 ] || packages+=(g++-aarch64-linux-gnu)  # for tests/aarch64
case $preset in clang | tsan) packages+=(libomp-dev) ;; esac
need_packages "${packages[@]}"

say "configuring in build-$preset"
cmake --preset "$preset" -DMOESAIC_EXAMPLES=ON -DMOESAIC_TESTS=ON -DMOESAIC_BENCH=ON

say "building"
cmake --build --preset "$preset" --parallel "$jobs"

say "testing"
result=build-$preset/ctest.xml
rm -f "$result"
status=0
ctest --preset "$preset" --parallel "$jobs" --output-junit "$PWD/$result" || status=$?

# Counted in ctest's own report. A test that asks to be skipped is one thing, a test that could not be started is a failure.
counts=$(awk '
  /<testcase .*status="run"/                       { ++passed }
  /<testcase .*status="fail"/                      { ++failed }
  /<testcase .*status="disabled"/                  { ++skipped }
  /<testcase .*status="notrun"/                    { ++failed; idle = 1; next }
  idle && /<skipped message="SKIP_/                { --failed; ++skipped }
                                                   { idle = 0 }
  END { print passed + 0, failed + 0, skipped + 0 }' "$result")
read -r passed failed skipped <<<"$counts"
[ "$skipped" = 0 ] || say "$skipped skipped"
[ "$status" != 0 ] || { [ "$passed" != 0 ] && [ "$failed" = 0 ]; } || status=1
echo
echo "$passed passed, $failed failed"
exit "$status"
