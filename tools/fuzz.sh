#!/usr/bin/env bash
# Builds the fuzz targets with clang's address and undefined-behaviour sanitizers, and runs each for some seconds.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup/report.sh
. tools/setup/packages.sh

usage() {
  cat <<'END'
usage: tools/fuzz.sh [SECONDS | --help]

  SECONDS  how long each target runs (default 60); the inputs found stay in build-fuzz/, where the next run starts from

An input that breaks a target is left as build-fuzz/tests/fuzz/crash-… (or timeout-…, oom-…); give that file to the target
to see it again.
END
}

case ${1:-60} in
  --help | -h) usage && exit ;;
  0* | *[!0-9]*) die "'$1' is no number of seconds; see tools/fuzz.sh --help" ;;
esac
install_packages clang-19 libclang-rt-19-dev libomp-19-dev
CC=clang-19 CXX=clang++-19 cmake --preset dev -B build-fuzz -DTESSERA_FUZZ=ON -DTESSERA_FUZZ_SECONDS="${1:-60}" >/dev/null
cmake --build build-fuzz --target tests/fuzz/all
ctest --test-dir build-fuzz -L fuzz --output-on-failure --no-tests=error
