#!/bin/sh
# Builds the fuzz targets with clang, whatever compiler the rest is built with, and runs them.   fuzz.sh CMAKE CTEST FOLDER
if ! echo 'extern "C" int LLVMFuzzerTestOneInput(unsigned char const*, unsigned long) { return 0; }' |
  clang++ -x c++ -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null; then
  echo 'skipped: no clang++ with libFuzzer here (on Debian: apt-get install clang libclang-rt-dev); the corpus has been replayed by the other tests'
  exit 77
fi
"$1" --preset fuzz -B "$3" -DMOESAIC_EXAMPLES=ON -DMOESAIC_TESTS=ON -DMOESAIC_BENCH=OFF &&
  "$1" --build "$3" --parallel 2 --target fuzz_safetensors fuzz_config fuzz_index &&
  "$2" --test-dir "$3" --label-regex '^fuzz$' --no-tests=error --output-on-failure --verbose
