#!/usr/bin/env bash
# The whole forward pass on a GPU against the float64 oracle: writes each golden checkpoint and runs the example on it with --backend cuda.
# Uses what gpu_build.sh made.
#   bash scripts/gpu_forward.sh [FOLDER [MODEL|all [PREFIX…]]]      PREFIX: a command to run each program under, say compute-sanitizer
# Exit status: 0 if logits and experts of every model are good.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=${1:-.gpu}
only=${2:-all}
prefix=("${@:3}")

# Model, its case in tests/fixtures/golden_FILE.json, FILE, the tokens of that case.
tiny=1,17,256,3,99,400,7,511 extra=1,17,150,3,99,191
models=("tiny_a tinyA full $tiny" "tiny_b tinyB_ragged full $tiny" "tiny_c tinyC_liteish full $tiny"
  "extra_v2 extra_v2 extra $extra" "extra_v2_f32 extra_v2 extra $extra" "extra_v3 extra_v3 extra $extra")

checkpoint=$(mktemp -d)
trap 'rm -rf "$checkpoint"' EXIT
failed=0
for row in "${models[@]}"; do
  read -r model case file tokens <<<"$row"
  [ "$only" = all ] || [ "$only" = "$model" ] || continue
  printf '\n-- %s\n' "$model"
  "$bin/deepseek_v3_write_checkpoint" "$model" "$checkpoint/$model" &&
    "${prefix[@]}" "$bin/deepseek_v3_$model" "$checkpoint/$model" --backend cuda --tokens "$tokens" --top 2 \
      --check "tests/fixtures/golden_$file.json" --case "$case" || failed=1
  rm -rf "${checkpoint:?}/$model"
done
exit $failed
