#!/bin/bash
# The test `bundle_launcher`: which StarPU and which folders a bundle's `run` picks, on machines made of empty files.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
run=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/bundle
mkdir -p "$bundle"/{bin,lib/gcc,lib/starpu,lib/starpu-cuda} "$work"/{driver,toolkit/lib64,python/bin,python/lib/python3.11/site-packages/nvidia/cu99/lib}
cp "$run" "$bundle/run"
# shellcheck disable=SC2016 # for that script
printf '#!/bin/sh\necho "$LD_LIBRARY_PATH"\n' >"$bundle/bin/show"
chmod +x "$bundle/bin/show"
# A library that no system has, and one that need not be there.
printf 'libcudamade.so.99\nlibnvmade.so.99 optional\n' >"$bundle/lib/starpu-cuda/needs"
: >"$bundle/lib/gcc/libstdc++.so.6.0.9999" && ln -s libstdc++.so.6.0.9999 "$bundle/lib/gcc/libstdc++.so.6"
touch "$work/driver/libcuda.so.1"

# expect WHAT "what must be there" "what must not" VARIABLE=VALUE…
expect() {
  local what=$1 there=$2 absent=$3 got
  shift 3
  got=$(env -i HOME="$work" PATH="/usr/bin:/bin" "$@" "$bundle/run" bin/show 2>"$work/said") || { echo "$what: run failed" && exit 1; }
  case $got in *"$there"*) ;; *) echo "$what: no '$there' in '$got'" && exit 1 ;; esac
  case $got in *"$absent"*) echo "$what: '$absent' in '$got'" && exit 1 ;; esac
}

has_driver=$(ldconfig -p 2>/dev/null | grep -c 'libcuda\.so\.1' || true)
if [ "$has_driver" = 0 ]; then
  touch "$work/toolkit/lib64/libcudamade.so.99"
  expect "no driver" "$bundle/lib/starpu:$bundle/lib" starpu-cuda CUDA_HOME="$work/toolkit"
  rm "$work/toolkit/lib64/libcudamade.so.99"
fi
expect "a driver, no CUDA" "$bundle/lib/starpu:$bundle/lib" starpu-cuda LD_LIBRARY_PATH="$work/driver"
grep -q 'no CUDA.*libcudamade.so.99; name' "$work/said" || { echo "no warning: $(cat "$work/said")" && exit 1; }
grep -q nvmade "$work/said" && { echo "what is optional is missed" && exit 1; }

touch "$work/driver/libcudamade.so.99"
expect "in LD_LIBRARY_PATH" "$bundle/lib/starpu-cuda:$bundle/lib" "lib/starpu:" LD_LIBRARY_PATH="/nowhere:$work/driver"
rm "$work/driver/libcudamade.so.99"

touch "$work/toolkit/lib64/libcudamade.so.99"
expect "in the toolkit's folder" "$bundle/lib/starpu-cuda:" "lib/starpu:" LD_LIBRARY_PATH="$work/driver" CUDA_HOME="$work/toolkit"
expect "in the toolkit's folder, named" ":$work/toolkit/lib64:" "lib/starpu:" LD_LIBRARY_PATH="$work/driver" CUDA_HOME="$work/toolkit"
[ ! -s "$work/said" ] || { echo "it said: $(cat "$work/said")" && exit 1; }
rm "$work/toolkit/lib64/libcudamade.so.99"

packages=$work/python/lib/python3.11/site-packages/nvidia/cu99/lib
touch "$packages/libcudamade.so.99"
expect "in Python's packages" ":$packages:" "lib/starpu:" LD_LIBRARY_PATH="$work/driver" VIRTUAL_ENV="$work/python"

# GCC's libraries: ours are the newer ones, then theirs.
expect "newer GCC" "$bundle/lib/gcc" starpu-cuda LD_LIBRARY_PATH=
ln -sf libstdc++.so.6.0.1 "$bundle/lib/gcc/libstdc++.so.6" && touch "$bundle/lib/gcc/libstdc++.so.6.0.1"
expect "older GCC" "$bundle/lib" "$bundle/lib/gcc" LD_LIBRARY_PATH=
