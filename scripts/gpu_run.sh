#!/usr/bin/env bash
# Runs on a machine with a GPU what gpu_build.sh made: tests, then the compute sanitizer on some of them, then benchmarks. A section that fails
# or runs out of its time does not stop the next. Changes no setting of the card.
#   bash scripts/gpu_run.sh [FOLDER [OUT]] [--only a,b,…] [--dry-run] [--allow-no-gpu]
# FOLDER: .gpu unless told. OUT: gpu_results unless told; at most 8 files, which is what comes back from a lent machine:
#   tests.log (the sanitizer's too), run.log (all else, and at its end a summary), {ceilings,stages,gemm,router,layer,peers}.jsonl
# Exit status: 0 if every section that ran passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

only= dry= allow= folders=()
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=,${2:?--only needs a list},; shift ;;
    --dry-run) dry=1 ;;
    --allow-no-gpu) allow=1 ;;
    -*) echo "unknown argument $1"; exit 2 ;;
    *) folders+=("$1") ;;
  esac
  shift
done
bin=${folders[0]:-.gpu}
out=${folders[1]:-gpu_results}

if [ -z "$dry" ] && ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  echo "no GPU on this machine"
  [ -n "$allow" ] && exit 0
  exit 1
fi
[ -n "$dry" ] || mkdir -p "$out"
python=$(command -v python3 || echo python3)
lt=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)
lt=$(find "$lt/nvidia" /usr/local/cuda/ -name 'libcublasLt.so.1[0-9]' 2>/dev/null | head -n 1)
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer /opt/nvidia/*/compute-sanitizer 2>/dev/null | head -n 1)
sanitizer=${sanitizer:-compute-sanitizer}

# Filters of GoogleTest: what the sanitizers, which take 10 to 100 times as long, can afford.
some='quantize.*:permute.*:dispatch_map.*:unpermute.*'
summary=()
failed=0

# section NAME SECONDS LOG SHOWN NEEDS COMMAND…: runs COMMAND with a time limit, all of its output to LOG, the last SHOWN lines to the
# terminal. NEEDS: a file without which the section is skipped, or -.
section() {
  local name=$1 seconds=$2 log=$3 shown=$4 needs=$5
  shift 5
  if [ -n "$only" ] && [[ $only != *,$name,* ]]; then return; fi
  if [ "$needs" != - ] && [ ! -e "$needs" ]; then
    summary+=("$(printf '%-12s %-9s %6s  no %s' "$name" skipped - "$needs")")
    [ -z "$dry" ] || echo "# $name: no $needs"
    return
  fi
  if [ -n "$dry" ]; then
    printf 'timeout %s' "$seconds"
    printf ' %q' "$@"
    printf '\n'
    return
  fi
  printf '\n== %s\n' "$name" | tee -a "$out/$log"
  local text=$out/.section begin=$SECONDS status=0 verdict=passed note=
  timeout --kill-after=5 "$seconds" "$@" >"$text" 2>&1 </dev/null || status=$?
  case $status in
    0) ;;
    77) verdict=skipped note='the program says it cannot run here' ;;
    124 | 137) verdict='TIME OUT' note="after $seconds s" ;;
    *) verdict=FAILED note="status $status" ;;
  esac
  if grep -qE 'Device not supported|Unable to (find|initialize)|LibraryNotLoaded' "$text" && [[ $name == *check ]]; then
    verdict=refused note=$(grep -m 1 -E 'Device not supported|Unable to|LibraryNotLoaded' "$text")
  fi
  if [ $verdict = passed ] && grep -q '^\[==========\] Running 0 tests' "$text"; then verdict=FAILED note='its filter names no test'; fi
  [ "$verdict" != FAILED ] && [ "$verdict" != 'TIME OUT' ] || failed=1
  grep -q '^\[' "$text" && note="$note $(grep -E '^\[  (PASSED|FAILED|SKIPPED)' "$text" | tr '\n' ' ' | cut -c1-150)"
  cat "$text" >>"$out/$log"
  tail -n "$shown" "$text" | cut -c1-200
  summary+=("$(printf '%-12s %-9s %4d s  %s' "$name" "$verdict" $((SECONDS - begin)) "$note")")
  rm -f "$text"
}

card() {
  nvidia-smi --query-gpu=name,driver_version,pstate,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu,clocks_throttle_reasons.active \
    --format=csv
}
[ -n "$dry" ] || { date -u +%FT%TZ; uname -rm; nproc; card; echo "cuBLASLt: ${lt:-not found}"; } 2>&1 | tee "$out/run.log"

section conformance 120 tests.log 12 "$bin/conformance_cuda" "$bin/conformance_cuda" '--gtest_filter=-*Determin*:*determin*:*Graph*:*graph*'
section determinism 60 tests.log 6 "$bin/conformance_cuda" "$bin/conformance_cuda" '--gtest_filter=*Determin*:*determin*'
section graph 60 tests.log 6 "$bin/conformance_cuda" "$bin/conformance_cuda" '--gtest_filter=*Graph*:*graph*'
section hopper 90 tests.log 12 "$bin/conformance_cuda_hopper" "$bin/conformance_cuda_hopper"
section stages_test 60 tests.log 12 "$bin/cuda_stages" "$bin/cuda_stages"
for tool in memcheck racecheck initcheck synccheck; do
  section $tool 40 tests.log 6 "$bin/conformance_cuda" "$sanitizer" --tool $tool --error-exitcode 9 --print-limit 20 \
    "$bin/conformance_cuda" "--gtest_filter=$some"
done
for tool in memcheck racecheck; do
  section hopper_$tool 40 tests.log 6 "$bin/conformance_cuda_hopper" "$sanitizer" --tool $tool --error-exitcode 9 --print-limit 20 \
    "$bin/conformance_cuda_hopper" '--gtest_filter=forward.may_write*:router_gemm.leaves*'
done
section gemm_memcheck 60 tests.log 6 "$bin/bench_gpu_gemm" "$sanitizer" --tool memcheck --error-exitcode 9 --print-limit 20 \
  "$bin/bench_gpu_gemm" --check --shape 32x9
section stairs_memcheck 40 tests.log 8 "$bin/gpu_gemm_stairs" "$sanitizer" --tool memcheck --error-exitcode 9 --print-limit 20 \
  "$bin/gpu_gemm_stairs" --rows 1024
section forward 60 tests.log 30 "$bin/deepseek_v3_tiny_a" bash scripts/gpu_forward.sh "$bin"
section forward_memcheck 90 tests.log 12 "$bin/deepseek_v3_tiny_a" bash scripts/gpu_forward.sh "$bin" tiny_a "$sanitizer" --tool memcheck \
  --error-exitcode 9 --print-limit 20
section ceilings 45 run.log 60 "$bin/bench_gpu_ceilings" "$bin/bench_gpu_ceilings" --out "$out/ceilings.jsonl" --cublaslt "${lt:-libcublasLt.so.13}"
section stages 40 run.log 40 "$bin/bench_gpu_stages" "$bin/bench_gpu_stages" --out "$out/stages.jsonl"
section gemm 90 run.log 125 "$bin/bench_gpu_gemm" "$bin/bench_gpu_gemm" --out "$out/gemm.jsonl" --cublaslt "$lt"
section router 30 run.log 40 "$bin/bench_gpu_router" "$bin/bench_gpu_router" --out "$out/router.jsonl"
section stairs 20 run.log 6 "$bin/gpu_gemm_stairs" "$bin/gpu_gemm_stairs"
section layer 90 run.log 100 "$bin/bench_gpu_layer" "$bin/bench_gpu_layer" --out "$out/layer.jsonl" --cublaslt "$lt"
section peers 75 run.log 60 bench/gpu/peers.py "$python" -u bench/gpu/peers.py --out "$out/peers.jsonl"

[ -z "$dry" ] || exit 0
{ echo; card; } >>"$out/run.log" 2>&1
{ printf '\n== summary\n'; date -u +%FT%TZ; nvidia-smi -L | sed 's/ (UUID.*//'; printf '%s\n' "${summary[@]}"; } | tee -a "$out/run.log"
exit $failed
