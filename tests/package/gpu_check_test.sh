#!/bin/bash
# The test `gpu_check`: without a GPU every stage says so in one line and fails; a dry run shows every command.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$1" # the tree, or a bundle
export TESSERA_BUILD=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work
for stage in conformance sanitizer mixed speed overhead ops; do
  tools/gpu_check.sh --dry-run $stage >"$work/commands" 2>"$work/said" || { cat "$work/said" && exit 1; }
  [ ! -s "$work/said" ] || { echo "$stage, dry: it said $(cat "$work/said")" && exit 1; }
  grep -q '^timeout [0-9]* ' "$work/commands" || { echo "$stage, dry: no commands" && exit 1; }
done
if ldconfig -p | grep -q 'libcuda\.so\.1'; then exit 77; fi # there may be a GPU
for stage in conformance sanitizer mixed speed overhead ops; do
  if tools/gpu_check.sh $stage --out "$work/out" >"$work/table" 2>"$work/said"; then echo "$stage: it succeeded" && exit 1; fi
  [ "$(cat "$work/table" "$work/said" | wc -l)" = 1 ] || { echo "$stage: more than a line: $(cat "$work/table" "$work/said")" && exit 1; }
  grep -q "^tessera: error: $stage: no GPU to be used here: " "$work/said" || { cat "$work/said" && exit 1; }
done
