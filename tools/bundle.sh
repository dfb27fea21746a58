#!/usr/bin/env bash
# Packs the command, its tests, the examples and every library they need into one archive that runs elsewhere.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup/report.sh
. tools/setup/packages.sh
. tools/setup/mirror.sh

usage() {
  cat <<'END'
usage: tools/bundle.sh [--out FILE | --check FILE | --help]

  (nothing)     builds what is not built yet, and packs it as out/tessera-VERSION-x86_64.tar.xz
  --out FILE    packs it as FILE, which ends in .tar.xz
  --check FILE  unpacks FILE into a system with nothing installed (debootstrap, as root), and trains examples/addition.toml

The archive runs on another x86-64 Linux with glibc ≥ 2.36. Where the build has CUDA, it holds two builds of StarPU, and
picks one as it starts: the one with CUDA needs CUDA's own libraries, which are not in the archive.
END
}

most_mib=40
newest_glibc=2.36
glibc='ld-linux-x86-64|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec|nss_[a-z]+|BrokenLocale|thread_db)'
cuda='lib(cuda|cudart|cublas|cublasLt|cusparse|cusolver|cudnn|cufft|curand|nvrtc|nvJitLink)'
gcc='lib(stdc\+\+|gcc_s)'

# The libraries that programs load, as "NAME PATH".
libraries() { ldd "$@" | awk '$2 == "=>" { print $1, $3 }' | sort -u; }
# Those of them that match, or with -v do not.
named() { grep -E "${@:2}" "^($1)\.so" || true; }

# copy FILE FOLDER [NAME]: without its symbols, and without the paths of this machine.
copy() {
  local file=$2/${3:-$(basename "$1")}
  mkdir -p "$2"
  cp -L "$1" "$file"
  chmod u+w "$file"
  strip --strip-unneeded "$file"
  patchelf --set-rpath "$rpath" "$file"
}

pack_libraries() {
  local name path
  while read -r name path; do
    [ "$path" != not ] || die "$name is not found on this machine"
    rpath="\$ORIGIN:\$ORIGIN/starpu" copy "$path" "$tree/lib" "$name"
  done < <(libraries "${programs[@]}" | named "$glibc|$cuda|$gcc|libstarpu.*" -v)
  while read -r name path; do
    path=$(readlink -f "$path")
    rpath="\$ORIGIN" copy "$path" "$tree/lib/gcc"
    [ "$(basename "$path")" = "$name" ] || ln -s "$(basename "$path")" "$tree/lib/gcc/$name"
  done < <(libraries "${programs[@]}" | named "$gcc")
  ln -s "$(basename "$tree"/lib/libtessera.so.*)" "$tree/lib/libtessera.so"
}

# What StarPU's structures depend on, and both builds must have alike.
limits() { grep -hE '^#define STARPU_(N?MAX(NODES|NUMANODES|WORKERS|BUFS|_SCHED_CTXS)|MAXIMPLEMENTATIONS) ' "$1"/include/starpu/1.4/starpu_config.h; }

pack_starpu() {
  local with=$1 without=$1 library
  if libraries "$with/lib/libstarpu-1.4.so" | grep -q libcudart; then
    TESSERA_CUDA=OFF tools/setup/starpu.sh --own
    without=$(TESSERA_CUDA=OFF tools/setup/starpu.sh --prefix)
    diff <(limits "$with") <(limits "$without") >&2 || die "the StarPUs in $with and $without differ in their limits: one cannot stand in for the other"
    # What it needs of CUDA, and what Tessera itself can do without.
    {
      libraries "$with/lib/libstarpu-1.4.so" | named "$cuda" | awk '{ print $1 }' | grep -v '^libcuda\.'
      printf '%s optional\n' "$(libraries "$with/lib/libstarpu-1.4.so" | sed -n 's/^libcudart\(.so.[0-9]*\) .*/libnvrtc\1/p')" libcudnn.so.9
    } >"$work/needs"
  else
    say "this build's StarPU is without CUDA, and so is the bundle"
  fi
  while read -r library _; do
    rpath="\$ORIGIN:\$ORIGIN/.." copy "$without/lib/$library" "$tree/lib/starpu"
    [ "$with" = "$without" ] || rpath="\$ORIGIN:\$ORIGIN/.." copy "$with/lib/$library" "$tree/lib/starpu-cuda"
  done < <(libraries "${programs[@]}" | named 'libstarpu.*')
  [ ! -e "$work/needs" ] || mv "$work/needs" "$tree/lib/starpu-cuda/needs"
}

# Everything must be found in the bundle, or be glibc's and old enough.
examine() {
  local strange newest
  strange=$(LD_LIBRARY_PATH=$tree/lib/starpu:$tree/lib/gcc libraries "$tree"/bin/* "$tree"/tests/*_tests |
    named "$glibc" -v | grep -v " $tree/" || true)
  [ -z "$strange" ] || die "the bundle lacks $strange"
  newest=$(find "$tree"/bin "$tree"/lib "$tree"/tests -type f \( -name '*.so*' -o -name '*_tests' -o -name tessera \) -exec objdump -T {} + |
    grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
  newest=${newest#GLIBC_}
  [ "$(printf '%s\n' "$newest" "$newest_glibc" | sort -V | tail -n 1)" = "$newest_glibc" ] ||
    say "note: packed on this system, the bundle needs glibc ≥ $newest, not $newest_glibc"
}

pack() {
  local out=$1 program starpu
  bash tools/bootstrap.sh build
  cmake --preset release -DTESSERA_TESTS=ON >/dev/null
  cmake --build --preset release >&2
  install_packages patchelf binutils xz-utils
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  tree=$work/$(basename "$out" .tar.xz)
  programs=(build/tessera build/tests/*_tests)
  starpu=$(libraries build/libtessera.so | awk '$1 ~ /^libstarpu-1.4/ { print $2 }')
  starpu=$(cd "$(dirname "$(dirname "$starpu")")" && pwd)
  say "packing, with StarPU of $starpu"
  rpath="\$ORIGIN/../lib:\$ORIGIN/../lib/starpu"
  copy build/tessera "$tree/bin"
  for program in build/tests/*_tests build/tests/lib*.so; do copy "$program" "$tree/tests"; done
  pack_libraries
  pack_starpu "$starpu"
  cp tools/bundle/run tools/bundle/tessera tools/bundle/README.md LICENSE "$tree"
  cp --parents -r examples tests/goldens tests/models/*.py tools/gpu_check.sh tools/bench/peers/pytorch_gpu.py tools/setup/report.sh "$tree"
  examine
  mkdir -p "$(dirname "$out")"
  tar -C "$work" --sort=name --owner=0 --group=0 -cf - "$(basename "$tree")" | xz -T0 -9 >"$out.part"
  mv "$out.part" "$out"
  local mib=$((($(stat -c %s "$out") + (1 << 20) - 1) >> 20))
  [ "$mib" -le $most_mib ] || die "$out has $mib MiB, more than $most_mib"
  say "$out: $mib MiB"
}

# In a system of its own, with nothing but what a system must have.
check() {
  local archive=$1 uri keyring share said
  [ -e "$archive" ] || die "there is no $archive; tools/bundle.sh makes it"
  [ "$(id -u)" = 0 ] || die "a clean system is made as root: sudo tools/bundle.sh --check $archive"
  install_packages debootstrap xz-utils
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  read -r uri keyring < <(mirror) || die "apt has no package source configured to make a clean system from"
  say "making a clean system (debootstrap --variant=minbase)"
  logged "$work/log" "debootstrap" debootstrap --variant=minbase ${keyring:+--keyring="$keyring"} \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/system" "$uri"
  mkdir "$work/system/bundle"
  tar -C "$work/system/bundle" --strip-components=1 -xf "$archive"
  # Its own mounts go with the command.
  # shellcheck disable=SC2016 # for the inner shell
  clean() { unshare --mount sh -c 'mount -t proc proc "$0/proc" && mount -t sysfs sys "$0/sys" && exec chroot "$0" env -i HOME=/root PATH=/usr/bin:/bin "$@"' "$work/system" "$@"; }
  clean /bundle/tessera info
  said=$work/said
  clean /bundle/tessera train /bundle/examples/addition.toml --out /root/addition --json | tee "$said"
  share=$(sed -n 's/.*"exact_match":\([0-9.]*\).*/\1/p' "$said")
  awk -v share="${share:-0}" 'BEGIN { exit share < 0.995 }' || die "exact match is ${share:-not told}, and should be at least 0.995"
  say "$archive runs on a clean system: exact match $share"
}

version=$(sed -n 's/^project(tessera VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
case ${1:-} in
  '') pack "out/tessera-$version-x86_64.tar.xz" ;;
  --out)
    case ${2:-} in *.tar.xz) pack "$2" ;; *) die "--out needs a file that ends in .tar.xz" ;; esac
    ;;
  --check) check "${2:?--check needs the archive}" ;;
  --help | -h) usage ;;
  *) die "unknown option $1; see tools/bundle.sh --help" ;;
esac
