#!/usr/bin/env bash
# Measures the CPU backend on this machine: bench_layer and its AVX2 build, bench_stages. Leaves their output and a plot in a folder.
# The machine has to be quiet. (Real-time priority does not help: Linux stops such threads for 50 ms in every second.)
#   bash scripts/bench.sh [FOLDER]      FOLDER: docs/measured/<date>_<processor> unless told
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need_packages "${tools[@]}" libbenchmark-dev python3-matplotlib

say "building"
cmake -S . -B build-bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOESAIC_BENCH=ON -DMOESAIC_TESTS=OFF -DMOESAIC_EXAMPLES=OFF \
  -DMOESAIC_KOKKOS=OFF >/dev/null
targets=(bench_layer bench_stages)
[ "$(uname -m)" != x86_64 ] || targets+=(bench_layer_avx2)
cmake --build build-bench --parallel "$jobs" --target "${targets[@]}"

processor=$(awk -F': ' '/^(cpu family|model|vendor_id)[\t ]*:/ { v[NR] = $2; printf "%s%s", s, tolower($2); s = "-" } /^stepping/ { exit }' /proc/cpuinfo)
folder=${1:-docs/measured/$(date +%F)_${processor:-$(uname -m)}}
mkdir -p "$folder"
{
  echo "date         $(date -u +%FT%TZ)"
  echo "commit       $(git rev-parse --short HEAD 2>/dev/null || echo none)$(git diff --quiet HEAD 2>/dev/null || echo ' and changes')"
  echo "processor    $(lscpu | sed -n 's/^Model name: *//p'), $(nproc) threads"
  echo "flags        -O3 -march=native (bench_layer_avx2: -O3 -march=haswell)"
  echo "instructions $(sed -n 's/^flags[^:]*: //p;T;q' /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx|amx|f16c|fma)' | sort | tr '\n' ' ')"
  echo "large pages  $(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)"
} >"$folder/machine.txt"
cat "$folder/machine.txt"

for target in "${targets[@]}"; do
  say "$target"
  # The library's list of caches and its warning go to stderr: they would hide the table.
  "$(find build-bench/bench -type f -name "$target")" --benchmark_out="$folder/$target.json" --benchmark_out_format=json \
    2>/dev/null | tee "$folder/$target.txt"
done
say "plotting"
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3  # the one that Debian's matplotlib is for
"$python" scripts/plot_layer.py "$folder"
say "$folder"
