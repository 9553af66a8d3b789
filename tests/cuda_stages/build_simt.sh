#!/bin/sh
# The tests of this folder without a GPU: g++ compiles the kernels for tests/cuda_stages/simt.   sh build_simt.sh <folder for objects>
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-/tmp/cuda_stages_simt}
mkdir -p "$out"
flags="-std=c++20 -O2 -g1 -mfma -ffp-contract=off -DMOESAIC_SIMT -D__CUDACC__ -D__CUDA_ARCH__=900 -Wall -Wextra -Wno-unknown-pragmas -I$here/simt -I$here/../cuda/stand_ins -include cuda_runtime_api.h -I$here/../../include"
for f in map select front rows activation combine; do
  [ -n "$2" ] && [ "$2" != "$f" ] && continue
  nice -n 10 g++ $flags -x c++ -c "$here/$f.cu" -o "$out/$f.o"
done
nice -n 10 g++ -std=c++20 -c "$here/main.cpp" -o "$out/main.o"
g++ "$out"/*.o -o "$out/cuda_stages"
