#!/bin/bash
# The test `no_drivers`: the program starts and trains where no OpenCL driver is found, and links no CUDA driver.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
program=$1 examples=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OCL_ICD_VENDORS=/nowhere XDG_CACHE_HOME=$work
if ldd "$program" | grep 'libcuda\.so'; then echo "the program links CUDA's driver" && exit 1; fi
"$program" info --json >"$work/info"
grep -q '"workers":{"cpu":[1-9]' "$work/info" || { cat "$work/info" && exit 1; }
if grep '"kind":"opencl"' "$work/info"; then echo "there is an OpenCL device all the same" && exit 1; fi
"$program" train "$examples/addition.toml" --out "$work/addition" --set train.steps=20 --json >"$work/said"
grep -q '"exact_match":' "$work/said" || { cat "$work/said" && exit 1; }
# What is asked for and not there is told in one line.
for device in opencl:0 cuda:9; do
  code=0
  "$program" train "$examples/addition.toml" --out "$work/none" --devices "cpu:1,$device" 2>"$work/said" || code=$?
  if [ $code != 2 ] || ! grep -q "$device: " "$work/said" || [ "$(wc -l <"$work/said")" != 1 ]; then
    echo "$device: $code, $(cat "$work/said")" && exit 1
  fi
done
