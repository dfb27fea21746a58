# What Tessera is built with, by package name, and how missing ones are installed. Sourced after report.sh.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # for bootstrap.sh
build_packages=(
  git cmake ninja-build g++ make pkg-config ccache dpkg-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libicu-dev
  libhwy-dev libdnnl-dev libhwloc-dev libopenmpi-dev openmpi-bin
  opencl-headers ocl-icd-opencl-dev pocl-opencl-icd libclblast-dev
  libltdl-dev libfxt-dev libxxhash-dev
  libgtest-dev libgmock-dev libbenchmark-dev libssl-dev
)

systems='Debian 12 and 13 and Ubuntu 24.04'

# Sets `root` to what must stand before a command that needs root, or ends with what to run by hand.
find_root() {
  root=()
  [ "$(id -u)" != 0 ] || return 0
  local by_hand="packages are missing, and installing them needs root; run this once: apt-get install $1"
  command -v sudo >/dev/null || die "$by_hand"
  if [ -t 0 ]; then
    sudo -v || die "$by_hand"
  else
    sudo -n true 2>/dev/null || die "$by_hand"
  fi
  root=(sudo)
}

# Installs those of the packages that are missing; nothing is asked of the network when none is.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no apt here (set up by itself: $systems): going on with what is installed; needed, in Debian's names: $*"
    return 0
  fi
  local present missing log
  present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  missing=$(comm -13 <(sed -n 's/^installed //p' <<<"$present" | sort -u) <(printf '%s\n' "$@" | sort -u) | xargs)
  [ -n "$missing" ] || return 0
  find_root "$missing"
  say "installing $missing"
  log=$(mktemp)
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o APT::Update::Error-Mode=any)
  tail_lines=1 logged "$log" "apt-get update (is there a network?)" "${apt[@]}" update
  # shellcheck disable=SC2086 # a list of names
  tail_lines=3 logged "$log" "installing packages as of $systems" "${apt[@]}" install -y --no-install-recommends $missing
  rm -f "$log"
}

# Installs the distribution's StarPU where it is 1.4 and enough: it is built without CUDA.
provide_distribution_starpu() {
  local candidate
  command -v apt-cache >/dev/null || return 0
  case $(basename "$(tools/setup/starpu.sh --prefix)") in *-cuda*) return 0 ;; esac
  candidate=$(apt-cache policy libstarpu-dev | awk '/Candidate:/ { print $2 }')
  case $candidate in 1.4.*) install_packages libstarpu-dev ;; esac
}
