#!/usr/bin/env bash
# Passes all tests: installs what it needs, builds everything, runs ctest. The last line counts tests; the exit status is 0 only if some ran and none failed.
#   bash scripts/test.sh [release|no-kokkos|asan|clang]
set -euo pipefail
preset=${1:-release}
. "$(dirname "$0")/setup.sh"

packages=("${tools[@]}" libgtest-dev libbenchmark-dev libcli11-dev nlohmann-json3-dev)
[ "$preset" != clang ] || packages+=(clang libomp-dev)
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

# The counts are attributes of ctest's own report: <testsuite tests="7" failures="0" disabled="0" skipped="0" ...>.
count() { sed -n "/<testsuite/,/>/s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$result" | head -n 1; }
tests=$(count tests) failed=$(count failures) skipped=$(($(count skipped) + $(count disabled)))
passed=$((tests - failed - skipped))
[ "$skipped" = 0 ] || say "$skipped skipped"
[ "$passed" -gt 0 ] && [ "$failed" = 0 ] || [ "$status" != 0 ] || status=1
echo
echo "$passed passed, $failed failed"
exit "$status"
