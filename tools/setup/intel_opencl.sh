#!/usr/bin/env bash
# Intel's OpenCL runtime for CPUs: a second implementation, unlike PoCL, for the tests of device kernels.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/setup/report.sh
. tools/setup/packages.sh

folder="${TESSERA_PREFIX:-$HOME/.local/share/tessera}/intel-opencl"

usage() {
  cat <<END
usage: tools/setup/intel_opencl.sh [COMMAND…]

Puts Intel's runtime for CPUs (Python packages of about 270 MB) into $folder
where it is not there yet; then runs COMMAND, if there is one, with it as the only OpenCL implementation:

  tools/setup/intel_opencl.sh build/tests/codelets_tests --gtest_filter='Opencl/*'
END
}

install_runtime() {
  [ ! -e "$folder/vendors/intel.icd" ] || return 0
  install_packages python3-venv ocl-icd-libopencl1
  say "Intel's OpenCL runtime goes to $folder"
  rm -rf "$folder"
  python3 -m venv "$folder/python"
  "$folder/python/bin/pip" install --quiet --disable-pip-version-check intel-opencl-rt intel-cmplr-lib-rt
  mkdir -p "$folder/lib" "$folder/vendors.part"
  local file
  for file in "$folder"/python/lib/*.*; do
    case $(basename "$file") in
      python3* | libOpenCL* | libhwloc*) ;; # the system's own are used
      *) ln -s "$file" "$folder/lib/" ;;
    esac
  done
  echo "$folder/lib/libintelocl.so" >"$folder/vendors.part/intel.icd"
  mv "$folder/vendors.part" "$folder/vendors" # whole only now
}

case ${1:-} in
  --help | -h) usage && exit ;;
esac
[ "$(uname -m)" = x86_64 ] || die "Intel's OpenCL runtime is for x86-64 only"
install_runtime
[ $# -eq 0 ] || OCL_ICD_VENDORS="$folder/vendors" LD_LIBRARY_PATH="$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$@"
