#!/usr/bin/env bash
# From a fresh clone to a built Tessera: installs what is missing, then builds, tests or shows a first training run.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup/report.sh
. tools/setup/packages.sh

usage() {
  cat <<'END'
usage: tools/bootstrap.sh {build | test | demo | --help}

  build  installs what is missing (asks sudo if need be), then builds the command build/tessera
  test   the same with the tests, and runs them; TESSERA_DATA names the folder with test data
  demo   the same as build, then trains a small transformer on additions, in out/addition

Debian 12 and 13 and Ubuntu 24.04 are set up from their packages; elsewhere the libraries must be there.
What is built besides the tree goes to TESSERA_PREFIX (default ~/.local/share/tessera); see tools/setup/starpu.sh --help.
END
}

set_up() {
  install_packages "${build_packages[@]}"
  if ! tools/setup/starpu.sh --check; then
    provide_distribution_starpu
    tools/setup/starpu.sh
  fi
}

# configure ON|OFF: whether tests are built; a build with tests serves the other words as well. A warning of a compiler
# that we have not seen must not stop a user; CI refuses it.
configure() {
  if [ ! -e build/build.ninja ] || { [ "$1" = ON ] && ! grep -q '^TESSERA_TESTS:BOOL=ON' build/CMakeCache.txt; }; then
    cmake --preset release -DTESSERA_TESTS="$1" -DTESSERA_WERROR="$([ -n "${CI:-}" ] && echo ON || echo OFF)" >&2
  fi
}

build() {
  set_up
  configure OFF
  cmake --build --preset release >&2
}

run_tests() {
  set_up
  configure ON
  cmake --build --preset release >&2
  if [ -z "${TESSERA_DATA:-}" ] && [ -d ../shared/data ]; then
    TESSERA_DATA=$(cd ../shared/data && pwd)
    export TESSERA_DATA
  fi
  ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)"
}

demo() {
  build
  rm -rf out/addition
  build/tessera train examples/addition.toml --out out/addition --trace out/addition/trace.json
}

case ${1:-} in
  build) build ;;
  test) run_tests ;;
  demo) demo ;;
  --help | -h) usage ;;
  '') usage >&2 && exit 2 ;;
  *) die "unknown word '$1'; see tools/bootstrap.sh --help" ;;
esac
