#!/usr/bin/env bash
# What an NVIDIA GPU makes of Tessera, in stages of at most eight minutes; runs in a bundle or in a built tree.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup/report.sh

usage() {
  cat <<'END'
usage: tools/gpu_check.sh [--dry-run] {conformance | sanitizer | mixed | speed | overhead | ops | all} [--out DIR]

  conformance  every op's cases on the GPU, every kernel compiled for sm_80 and sm_90, and a training run
  sanitizer    a part of the cases under compute-sanitizer; passed over where it is refused or absent
  mixed        a training step of gpt30m on cores and GPU against the GPU alone, in turn
  speed        GPT-2 124M, 16 × 1,024 tokens, bf16, against PyTorch compiled, in turn; with MFU
  overhead     what a task costs besides its kernel
  ops          each op's share of its bound
  all          one after the other

Each stage writes its table as it goes, to DIR/STAGE.md (default: out/gpu_check), and ends with 0 where all of it is
well. --dry-run prints the commands only, and needs no GPU.

TESSERA_BUILD         the folder of the build, in a tree (default: build)
TESSERA_PEERS_PYTHON  the Python with torch (default: python3)
TESSERA_CHECK_DEVICE  another device than cuda:0; with opencl:0 the stages can be rehearsed where there is no GPU
TESSERA_PEAK_TFLOPS   the GPU's dense bf16 peak, for MFU, where it is none of H100, H200, A100 and L40S
END
}

stages=(conformance sanitizer mixed speed overhead ops)
stage='' dry='' out=$PWD/out/gpu_check
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit ;;
    --dry-run) dry=yes ;;
    --out) out=${2:?--out needs a folder} && shift ;;
    conformance | sanitizer | mixed | speed | overhead | ops | all) stage=$1 ;;
    *) die "unknown word '$1'; see tools/gpu_check.sh --help" ;;
  esac
  shift
done
[ -n "$stage" ] || { usage >&2 && exit 2; }

if [ -x run ]; then
  run=(./run) tessera=(./tessera) tests=tests
else
  build=${TESSERA_BUILD:-build}
  run=() tessera=("$build/tessera") tests=$build/tests
  [ -n "$dry" ] || [ -x "$tests/codelets_tests" ] || die "neither a bundle nor a tree built with tests (tools/bootstrap.sh test) is here"
fi
device=${TESSERA_CHECK_DEVICE:-cuda:0}
gpu=cpu:1,$device # a run needs a core at least
case $device in cuda:*) which=real ;; *) which=fake ;; esac
python=${TESSERA_PEERS_PYTHON:-python3}

# step LIMIT NAME COMMAND…: runs it with its output in $log, at most LIMIT seconds and to the end of the stage's time.
step() {
  local limit=$1 left
  log=$out/logs/$stage-$2.txt
  shift 2
  if [ -n "$dry" ]; then
    echo "timeout $limit $*"
    return
  fi
  left=$((deadline - SECONDS))
  [ "$left" -gt 5 ] || { echo "no time was left in this stage" >"$log" && return 124; }
  timeout -k 5 $((limit < left ? limit : left)) "$@" >"$log" 2>&1
}

# The table, on the terminal and in the file.
row() { [ -n "$dry" ] || { printf '| %s ' "$@" && echo '|'; } | tee -a "$table"; }
head_row() {
  row "$@"
  row "${@//*/---}"
}
result() { # of the last step, by its exit status
  case $1 in
    0) echo ok ;;
    124 | 137) echo "**cut off**" ;;
    *) echo "**failed** ($1): $(tail -n 1 "$log" | cut -c 1-120)" ;;
  esac
}
note() { # whether a step went well decides about the stage
  [ "$1" = 0 ] || failed=yes
}
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f", a / b; else printf "-" }'; }
# A key of the JSON lines in a file, as numbers.
numbers() { grep -oE "\"$1\":[-+0-9.e]+" "$2" | cut -d : -f 2; }

look_for_gpu() {
  [ -z "$dry" ] || return 0
  step 120 gpu "${tessera[@]}" bench step --shape chargpt --steps 1 --devices "$gpu" ||
    die "$stage: no GPU to be used here: $(tail -n 1 "$log")"
}

# step_rate NAME LIMIT OPTIONS…: leaves the tokens/s of `bench step` in $rate.
step_rate() {
  local code=0
  rate=''
  step "$2" "$1" "${tessera[@]}" bench step --dtype bf16 --scheduler affinity --json "${@:3}" || code=$?
  [ -n "$dry" ] || [ $code != 0 ] || rate=$(numbers tokens_per_s "$log")
  return $code
}

# Every case is checked on the GPU: skipped ones count as not well.
conformance() {
  local shard shards=4 code passed=0 skipped=0 wrong=0 pids=() logs=()
  head_row check result passed skipped failed seconds
  local began=$SECONDS
  for ((shard = 0; shard < shards; ++shard)); do
    step 330 "cases-$shard" env TESSERA_TEST_CUDA=$which GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard \
      "${run[@]}" "$tests/codelets_tests" --gtest_filter='Cuda/*' &
    pids+=($!) logs+=("$out/logs/$stage-cases-$shard.txt")
  done
  local worst=0
  for ((shard = 0; shard < shards; ++shard)); do
    code=0
    wait "${pids[shard]}" || code=$?
    if [ $code != 0 ]; then worst=$code log=${logs[shard]}; fi
    [ -n "$dry" ] && continue
    passed=$((passed + $(grep -c '^\[       OK' "${logs[shard]}" || true)))
    skipped=$((skipped + $(grep -c '^\[  SKIPPED \].*ms)' "${logs[shard]}" || true)))
    wrong=$((wrong + $(grep -c '^\[  FAILED  \].*ms)' "${logs[shard]}" || true)))
  done
  [ -n "$dry" ] || [ $skipped = 0 ] || [ $worst != 0 ] || worst=77
  note $worst
  row "ops on the GPU (\`codelets_tests\`)" "$(result $worst)" $passed $skipped $wrong $((SECONDS - began))
  began=$SECONDS code=0
  step 120 nvrtc "${run[@]}" "$tests/device_tests" --gtest_filter='*Nvrtc*' || code=$?
  note $code
  row "kernels compiled for sm_80 and sm_90" "$(result $code)" "" "" "" $((SECONDS - began))
  began=$SECONDS code=0
  step 120 addition "${tessera[@]}" train examples/addition.toml --out "$scratch/addition" --devices "$gpu" --strict-devices --set train.steps=600 --json || code=$?
  note $code
  row "600 steps of addition.toml, $(grep -o '"loss":[0-9.e-]*' "$log" 2>/dev/null | head -n 1)" "$(result $code)" "" "" "" $((SECONDS - began))
}

sanitizer() {
  local tool found code errors
  found=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}"/bin/compute-sanitizer 2>/dev/null || true)
  head_row tool result errors seconds
  if [ -z "$found" ] && [ -z "$dry" ]; then
    row compute-sanitizer "passed over: it is not installed" "" ""
    return
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    local began=$SECONDS
    code=0
    # A twentieth of the cases, dealt in turn, so that every op is among them.
    step 112 $tool env TESSERA_TEST_CUDA=$which GTEST_TOTAL_SHARDS=20 GTEST_SHARD_INDEX=0 "${run[@]}" "${found:-compute-sanitizer}" \
      --tool $tool --error-exitcode 3 "$tests/codelets_tests" --gtest_filter='Cuda/*' || code=$?
    [ -z "$dry" ] || continue
    errors=$(sed -nE 's/.*(ERROR|RACECHECK) SUMMARY: ([0-9]+).*/\2/p' "$log" | tail -n 1)
    if [ -z "$errors" ] && [ $code != 124 ] && [ $code != 137 ]; then
      row $tool "passed over, as it was refused: $(grep -m 1 '=====' "$log" | cut -c 1-120)" "" $((SECONDS - began))
      continue
    fi
    note $code
    row $tool "$(result $code)" "${errors:-?}" $((SECONDS - began))
  done
}

mixed() {
  local cores round steps ratios=() both share
  cores=$(nproc)
  [ "$cores" -le 16 ] || cores=16
  both="cpu:$((cores > 2 ? cores - 1 : 1)),$device" # the GPU's driver thread has the last one
  step 120 calibrate "${tessera[@]}" calibrate --devices "$both" || note $?
  case $device in cuda:*) steps=1000 ;; *) steps=5 ;; esac
  # In turns, and each first in turn: a GPU that has just been busy is not the one it was.
  head_row round "\`$gpu\` tokens/s" "\`$both\` tokens/s" "its workers" ratio
  mixed_rate() { # DEVICES NAME
    step_rate "$2-$round" 45 --shape gpt30m --steps $steps --devices "$1" || note $?
    rates[$2]=$rate
    [ -n "$dry" ] || workers[$2]=$(numbers workers "$log" || true)
  }
  local -A rates=() workers=()
  for round in 1 2 3 4 5 6; do
    if [ $((round % 2)) = 1 ]; then
      mixed_rate "$gpu" alone
      mixed_rate "$both" mixed
    else
      mixed_rate "$both" mixed
      mixed_rate "$gpu" alone
    fi
    share=$(ratio "${rates[mixed]:-0}" "${rates[alone]:-0}")
    row $round "${rates[alone]:--}" "${rates[mixed]:--}" "${workers[mixed]:--}" "$share"
    [ -z "${rates[mixed]}" ] || ratios+=("$share")
  done
  [ -z "$dry" ] || return 0
  share=$(printf '%s\n' "${ratios[@]:--}" | median)
  row median "" "" "" "$share (wanted: ≥ 1)"
  awk -v r="$share" 'BEGIN { exit r + 0 < 1 }' || note 1
}

# Dense bf16 TFLOP/s of the GPU, or nothing.
peak() {
  [ -z "${TESSERA_PEAK_TFLOPS:-}" ] || { echo "$TESSERA_PEAK_TFLOPS" && return; }
  case $(nvidia-smi --query-gpu=name --format=csv,noheader -i 0 2>/dev/null) in
    *H100*PCIe*) echo 756 ;;
    *H100* | *H200*) echo 989 ;;
    *A100*) echo 312 ;;
    *L40S*) echo 362 ;;
  esac
}

speed() {
  local tokens=$((16 * 1024)) flops=13071405809664 round ours theirs all=() peers=() tflops
  tflops=$(peak)
  # NAME TOKENS/S: 6 · matrix parameters · tokens and the causal half of attention make $flops a step.
  speed_row() {
    row "$1" "$(ratio $tokens "$2")" "$2" "$(awk -v r="$2" -v f=$flops -v t=$tokens 'BEGIN { printf "%.1f", r * f / t / 1e12 }')" \
      "$(awk -v r="$2" -v f=$flops -v t=$tokens -v p="${tflops:-0}" 'BEGIN { if (p > 0) printf "%.1f %%", 100 * r * f / t / 1e12 / p; else printf "-" }')"
  }
  head_row "GPT-2 124M, 16 × 1,024, bf16" "s/step" "tokens/s" "TFLOP/s" "MFU of ${tflops:-an unknown peak} TFLOP/s"
  for round in 1 2; do
    step_rate "tessera-$round" 100 --shape gpt2 --seq 1024 --batch 16 --steps 30 --devices "$gpu" || note $?
    if [ -n "$rate" ]; then all+=("$rate") && speed_row "Tessera, run $round" "$rate"; elif [ -z "$dry" ]; then row "Tessera, run $round" "$(result 1)" "" "" ""; fi
    if step 130 "torch-$round" "$python" tools/bench/peers/pytorch_gpu.py --steps 40; then
      [ -n "$dry" ] && continue
      peers+=("$(numbers tokens_per_s "$log")") && speed_row "PyTorch compiled, run $round" "${peers[-1]}"
    else
      row "PyTorch compiled, run $round" "not measured: $(tail -n 1 "$log" | cut -c 1-120)" "" "" ""
    fi
  done
  [ -z "$dry" ] || return 0
  ours=$(printf '%s\n' "${all[@]:-0}" | median) theirs=$(printf '%s\n' "${peers[@]:-0}" | median)
  row "Tessera / PyTorch" "" "$(ratio "$ours" "$theirs") (wanted: ≥ 1)" "" ""
  awk -v a="$ours" -v b="$theirs" 'BEGIN { exit b == 0 || a < b }' || note 1
}

overhead() {
  local scheduler tasks seconds
  head_row "what" "µs per task"
  for scheduler in lws affinity; do
    if step 60 "engine-$scheduler" "${tessera[@]}" bench engine --scheduler $scheduler --pattern stencil --task-us 0 --json; then
      [ -n "$dry" ] || row "empty tasks on the cores, stencil, $scheduler" "$(numbers us_per_task "$log" | head -n 1)"
    else
      note 1 && row "empty tasks on the cores, stencil, $scheduler" "$(result 1)"
    fi
  done
  # So small a model that its kernels are next to nothing: wall time per task, an upper bound.
  if step 120 tiny "${tessera[@]}" train examples/addition.toml --out "$scratch/tiny" --devices "$gpu" --scheduler affinity --json \
    --set train.steps=300 --set train.batch=8 --set model.width=32; then
    [ -z "$dry" ] || return 0
    tasks=$(numbers tasks "$log" | awk '{ n += $1 } END { print n }') seconds=$(numbers seconds "$log" | head -n 1)
    row "tasks of a tiny model on \`$gpu\`, wall time" "$(awk -v s="$seconds" -v n="$tasks" 'BEGIN { printf "%.2f", 1e6 * s / n }')"
  else
    note 1 && row "tasks of a tiny model on \`$gpu\`" "$(result 1)"
  fi
}

ops() {
  local op kernel dtype rate share tflops n
  tflops=$(peak)
  head_row op kernel dtype rate "share of its bound"
  step 420 device "${tessera[@]}" bench device "--${device%:*}" "${device#*:}" --json || {
    n=$?
    note $n && row all "" "" "" "$(result $n)"
  }
  [ -z "$dry" ] || return 0
  # Row-wise ops are bound by bytes, at the rate of copying; products by the peak of the matrix units.
  while IFS=$'\t' read -r dtype n rate; do
    share=-
    [ "$dtype" != bf16 ] || [ -z "$tflops" ] || share=$(ratio "$rate" "$((tflops * 1000))")
    row matmul "n = $n" "$dtype" "$rate GF/s" "$share"
  done < <(sed -nE 's/.*"what":"matmul","dtype":"([^"]*)","n":([0-9]*),"gflops":([^,}]*).*/\1\t\2\t\3/p' "$log")
  while IFS=$'\t' read -r op kernel dtype rate share; do
    row "$op" "$kernel" "$dtype" "$rate GB/s" "$share"
  done < <(sed -nE 's/.*"op":"([^"]*)","kernel":"([^"]*)","dtype":"([^"]*)","gb_per_s":([^,]*),"share":([^,}]*).*/\1\t\2\t\3\t\4\t\5/p' "$log")
}

one_stage() {
  stage=$1 failed='' deadline=$((SECONDS + 475)) table=$out/$1.md
  [ -n "$dry" ] || mkdir -p "$out/logs"
  look_for_gpu
  [ -n "$dry" ] || : >"$table"
  "$stage"
  [ -z "$failed" ] || die "$stage: not all of it is well; see $table and $out/logs"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ "$stage" = all ]; then
  code=0
  for stage in "${stages[@]}"; do (one_stage "$stage") || code=1; done
  exit $code
fi
one_stage "$stage"
