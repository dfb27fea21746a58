# How the setup scripts speak: one line of progress, or one line of error and the way out.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
say() { printf 'tessera: %s\n' "$*" >&2; }
die() {
  printf 'tessera: error: %s\n' "$*" >&2
  exit 1
}

# logged LOG "what it is for" COMMAND…: silent when it works, the last ${tail_lines:-15} lines of its output when it does not.
logged() {
  local log=$1 what=$2
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >>"$log" 2>&1 && return
  tail -n "${tail_lines:-15}" "$log" >&2
  die "$what failed; the whole output is in $log"
}
