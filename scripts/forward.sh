#!/usr/bin/env bash
# A complete DeepSeek-V3 forward pass: installs what it needs, builds the example, writes a small checkpoint in the official layout (config.json,
# safetensors shards, FP8 weights), reads it back and runs it on the Kokkos OpenMP backend.
#   bash scripts/forward.sh
set -euo pipefail
. "$(dirname "$0")/setup.sh"

need_packages "${tools[@]}" libcli11-dev nlohmann-json3-dev

say "configuring in build-release"
cmake --preset release -DMOESAIC_EXAMPLES=ON -DMOESAIC_TESTS=OFF -DMOESAIC_BENCH=OFF

say "building the example, and Kokkos if it is not installed (a minute or two the first time)"
cmake --build --preset release --parallel "$jobs" --target deepseek_v3_tiny_a deepseek_v3_write_checkpoint

bin=build-release/examples/deepseek_v3 checkpoint=build-release/checkpoints/tiny_a
say "writing the checkpoint $checkpoint"
"$bin/deepseek_v3_write_checkpoint" tiny_a "$checkpoint"
ls "$checkpoint"

say "the forward pass: $bin/deepseek_v3_tiny_a $checkpoint --tokens 1,17,256,3,99,400,7,511"
"$bin/deepseek_v3_tiny_a" "$checkpoint" --tokens 1,17,256,3,99,400,7,511
