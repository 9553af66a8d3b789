#!/usr/bin/env bash
# Builds what runs on a machine with a GPU, tests and benchmarks, for sm_90a alone, and leaves stripped executables in a folder that can be
# carried there: they need the driver, libc and nothing of this repository. Needs nvcc; needs no GPU.
#   bash scripts/gpu_build.sh [FOLDER [TARGET…]]      FOLDER: .gpu unless told; JOBS=1 in the environment builds one file at a time
set -euo pipefail
. "$(dirname "$0")/setup.sh"
folder=${1:-.gpu}
limit_mib=60  # a folder this large, together with the sources, is what a lent machine takes
jobs=${JOBS:-$jobs}

# Targets of CMake, in the order in which gpu_run.sh runs what they make. One that does not exist is said and left out.
targets=(test_conformance_cuda test_conformance_cuda_hopper test_cuda_stages bench_gpu_ceilings bench_gpu_stages bench_gpu_gemm bench_gpu_router bench_gpu_layer gpu_gemm_stairs
  deepseek_v3_write_checkpoint deepseek_v3_tiny_a deepseek_v3_tiny_b deepseek_v3_tiny_c deepseek_v3_extra_v2 deepseek_v3_extra_v2_f32 deepseek_v3_extra_v3)
[ $# -lt 2 ] || targets=("${@:2}")

say "configuring in build-gpu"
# The executables carry their C++ library. x86-64-v3: any machine that such a card sits in has it, and without its fma the tests' oracles take minutes.
cmake -S . -B build-gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=90a-real -DCMAKE_CXX_FLAGS=-march=x86-64-v3 \
  -DCMAKE_CUDA_FLAGS="-Xcompiler=-march=x86-64-v3 --compress-mode=size" -DCMAKE_EXE_LINKER_FLAGS='-static-libstdc++ -static-libgcc' \
  -DMOESAIC_NATIVE=OFF -DMOESAIC_CUDA=ON -DMOESAIC_GPU=ON -DMOESAIC_KOKKOS=OFF -DMOESAIC_TESTS=ON -DMOESAIC_BENCH=ON -DMOESAIC_EXAMPLES=ON >build-gpu.log 2>&1 || {
  cat build-gpu.log
  exit 1
}
rm -f build-gpu.log
known=$(ninja -C build-gpu -t targets all | sed 's/: .*//')
wanted=()
for target in "${targets[@]}"; do
  if grep -qx "$target" <<<"$known"; then wanted+=("$target"); else echo "no $target"; fi
done

say "building ${wanted[*]}"
nice -n 10 cmake --build build-gpu --parallel "$jobs" --target "${wanted[@]}"

say "$folder"
mkdir -p "$folder"
total=0
for target in "${wanted[@]}"; do
  name=${target#test_}
  built=$(find build-gpu -type f -name "$name" -perm -u+x | head -n 1)
  [ -n "$built" ] || { echo "$target made no executable $name"; exit 1; }
  strip -o "$folder/$name" "$built"
  bytes=$(stat -c %s "$folder/$name")
  total=$((total + bytes))
  printf '%9d KiB  %s\n' $((bytes / 1024)) "$folder/$name"
done
printf '%9d KiB  together\n' $((total / 1024))
if [ "$total" -gt $((limit_mib << 20)) ]; then
  echo "more than $limit_mib MiB"
  exit 1
fi
