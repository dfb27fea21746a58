#!/usr/bin/env bash
# Provides StarPU 1.4: the distribution's where it is recent enough, else built once into a prefix that clones share.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"
. "$(dirname "${BASH_SOURCE[0]}")/mirror.sh"

usage() {
  cat <<'END'
usage: tools/setup/starpu.sh [--own | --check | --prefix | --help]

Without an option: makes sure that StarPU 1.4 can be used, building it if it must (about two minutes on two cores).
  --own      the same, but with a build of our own even where the distribution has one
  --check    only say with the exit status whether a StarPU is here that can be used
  --prefix   only print where this machine's own build of StarPU lies, or would lie

TESSERA_PREFIX         folder for what is built (default: ${XDG_DATA_HOME:-~/.local/share}/tessera)
TESSERA_STARPU_SOURCE  folder or tar archive with StarPU's sources, for machines without apt or network
TESSERA_CUDA=OFF       build StarPU without CUDA although a toolkit is here
TESSERA_MPI=OFF        do without MPI; it is also done without where there is no mpicc
END
}

oldest=1.4.10 # what Tessera is measured with; older 1.4 are taken only from the distribution
recipe=1      # raise it when the build below changes, so that every machine builds anew
base=${TESSERA_PREFIX:-${XDG_DATA_HOME:-${HOME:?HOME is not set}/.local/share}/tessera}

# The toolkit's folder, or nothing. StarPU needs nvcc, cuBLAS and cuSPARSE.
cuda_toolkit() {
  case ${TESSERA_CUDA:-} in 0 | [Oo][Ff][Ff]) return 0 ;; esac
  local nvcc dir
  nvcc=$(command -v nvcc || true)
  for dir in "${CUDA_HOME:-}" "${CUDA_PATH:-}" "${nvcc%/bin/nvcc}" /usr/local/cuda; do
    if [ -n "$dir" ] && [ -x "$dir/bin/nvcc" ] && [ -e "$dir/include/cublas_v2.h" ]; then
      (cd "$dir" && pwd -P)
      return 0
    fi
  done
}

cuda=$(cuda_toolkit)
[ -n "$cuda" ] || recipe=2 # what is built without CUDA changed last
prefix=$base/starpu-1.4-r$recipe${cuda:+-$(basename "$cuda")}

own='' # not empty: the distribution's will not do

# What a build needs of StarPU.
parts=(starpu-1.4 starpumpi-1.4)
case ${TESSERA_MPI:-} in
  0 | [Oo][Ff][Ff]) parts=(starpu-1.4) ;;
  '' | [Aa][Uu][Tt][Oo]) command -v mpicc >/dev/null || parts=(starpu-1.4) ;;
esac

# Whether those are here: ours, or ones that pkg-config finds and that have CUDA if this machine has it.
usable() {
  [ ! -e "$prefix/lib/pkgconfig/${parts[-1]}.pc" ] || return 0
  [ -z "$own" ] || return 1
  pkg-config --exists "${parts[@]}" 2>/dev/null || return 1
  [ -z "$cuda" ] || grep -qs '^#define STARPU_USE_CUDA 1' "$(pkg-config --variable=starpu_includedir starpu-1.4)/starpu_config.h"
}

# Unpacks the first source package of this distribution's later releases that is recent enough into $1.
fetch_source() {
  local work=$1 id uri keyring suites component=main suite version
  id=$(. /etc/os-release && echo "$ID")
  case $id in
    debian) suites='trixie forky sid' ;;
    ubuntu) suites='noble questing resolute' component=universe ;;
    *) die "no StarPU 1.4 here, and $id has no source package of it that this script knows: install StarPU with MPI so that pkg-config finds starpu-1.4, or set TESSERA_STARPU_SOURCE to its sources" ;;
  esac
  read -r uri keyring < <(mirror) || die "apt has no package source configured to get StarPU from; set TESSERA_STARPU_SOURCE to its sources"
  [ -n "$keyring" ] || keyring=$(ls "/usr/share/keyrings/$id-archive-keyring.gpg" 2>/dev/null || true)
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
  # A mirror that lags or stands still will do: the package is signed, and its version is checked.
  local apt=(-qq -o Acquire::Check-Valid-Until=false -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=)
  for suite in $suites; do
    echo "deb-src ${keyring:+[signed-by=$keyring] }$uri $suite $component" >"$work/apt/sources.list"
    apt-get "${apt[@]}" -o APT::Update::Error-Mode=any update >>"$log" 2>&1 || continue
    version=$(apt-cache "${apt[@]}" showsrc starpu 2>>"$log" | awk '/^Version: 1\.4\./ { print $2 }' | sort -V | tail -n 1)
    [ -n "$version" ] || continue
    dpkg --compare-versions "$version" ge "$oldest" || continue
    say "StarPU $version: taking the source package of $suite"
    (cd "$work" && logged "$log" "fetching StarPU's source package" apt-get "${apt[@]}" source "starpu=$version")
    mv "$work"/starpu-*/ "$work/source"
    return
  done
  tail -n 1 "$log" >&2
  die "none of $suites has StarPU ≥ $oldest, or the package mirror does not answer (no network?); set TESSERA_STARPU_SOURCE to its sources, or see $log"
}

unpack_source() {
  local work=$1
  if [ -z "${TESSERA_STARPU_SOURCE:-}" ]; then
    fetch_source "$work"
    return
  fi
  [ -e "$TESSERA_STARPU_SOURCE" ] || die "TESSERA_STARPU_SOURCE=$TESSERA_STARPU_SOURCE does not exist"
  mkdir "$work/source"
  if [ -d "$TESSERA_STARPU_SOURCE" ]; then
    cp -r "$TESSERA_STARPU_SOURCE/." "$work/source"
  else
    tar -xf "$TESSERA_STARPU_SOURCE" -C "$work/source" --strip-components 1 ||
      die "TESSERA_STARPU_SOURCE=$TESSERA_STARPU_SOURCE is not a tar archive"
  fi
  [ -x "$work/source/configure" ] || die "$TESSERA_STARPU_SOURCE holds no StarPU release: there is no configure in it"
}

# A toolkit that this compiler cannot be used with must not cost the whole build.
cuda_works() {
  local work=$1
  echo 'int main() { return 0; }' >"$work/probe.cu"
  "$cuda/bin/nvcc" -o "$work/probe" "$work/probe.cu" -lcublas -lcusparse >>"$log" 2>&1 && "$work/probe"
}

build() {
  local work=$1 options
  # Sixteen memory nodes: a handle's size grows with their square (4 KiB here). Assertions stay on, they cost little
  # and are StarPU's only error messages.
  options=(--prefix="$prefix" --disable-static --disable-build-doc --disable-build-examples --disable-build-tests
    --disable-starpufft --disable-fortran --disable-starpupy --disable-socl --disable-mlr --disable-glpk
    --disable-papi --disable-hdf5 --disable-openmp --disable-full-gdb-information --enable-blas-lib=none --without-x
    --enable-maxbuffers=32 --enable-maxnodes=16 --enable-maxnumanodes=8
    --enable-maxcudadev=8 --enable-maxopencldev=4)
  if [ -n "$cuda" ] && cuda_works "$work"; then
    say "StarPU: with CUDA of $cuda"
    options+=(--with-cuda-dir="$cuda" --enable-maxcpus=256)
    export LIBRARY_PATH="$cuda/lib64/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}"
    export LDFLAGS="-Wl,-rpath,$cuda/lib64 ${LDFLAGS:-}"
    # cudaDeviceProp lost computeMode in CUDA 13.
    local ask='({ int mode = 0; cudaDeviceGetAttribute(\&mode, cudaDevAttrComputeMode, devid); mode; })'
    sed -i "s/props\[devid\]\.computeMode/$ask/" "$work/source/src/drivers/cuda/driver_cuda.c"
  else
    [ -z "$cuda" ] || say "StarPU: without CUDA, the toolkit in $cuda does not build programs here (see $log)"
    # StarPU counts its GPUs among the workers of its structures: with sixteen more cores instead, what was built
    # with the one library runs with the other.
    options+=(--disable-cuda --enable-maxcpus=272)
  fi
  # Equal times keep make from calling autotools that need not be here: distributions patch *.am too.
  find "$work/source" -exec touch -h -r "$work/source/configure" {} +
  mkdir "$work/build"
  cd "$work/build"
  say "StarPU: building, about two minutes on two cores (log: $log)"
  logged "$log" "configuring StarPU" ../source/configure "${options[@]}"
  logged "$log" "building StarPU" make -j "$(nproc)"
  logged "$log" "installing StarPU" make install DESTDIR="$work/stage"
  rm -rf "$prefix"
  mv "$work/stage$prefix" "$prefix"
}

provide() {
  usable && return
  local missing=() tool
  for tool in pkg-config make cc c++ flock; do command -v $tool >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} = 0 ] || die "building StarPU needs ${missing[*]}: run tools/bootstrap.sh, or install them"
  mkdir -p "$base"
  exec 9>"$base/lock"
  flock -n 9 || { say "waiting for another set-up that builds StarPU" && flock 9; }
  usable && return
  log=$base/starpu-build.log
  : >"$log"
  work=$(mktemp -d "$base/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  unpack_source "$work"
  (build "$work")
  usable || die "StarPU was built in $prefix, yet pkg-config does not find it there"
  say "StarPU $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion starpu-1.4) is in $prefix"
}

case ${1:-} in
  '') provide ;;
  --own) own=yes && provide ;;
  --check) usable ;;
  --prefix) echo "$prefix" ;;
  --help | -h) usage ;;
  *) die "unknown option $1; see tools/setup/starpu.sh --help" ;;
esac
