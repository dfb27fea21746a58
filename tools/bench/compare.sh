#!/usr/bin/env bash
# Measures Tessera and its peers in turns on this machine, and prints one Markdown table of figures, targets and ratios.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/setup/report.sh

usage() {
  cat <<'END'
usage: tools/bench/compare.sh [--quick] [--runs N] [--figures 1,2,…] | --help

  --quick      one run of the small shapes, a few minutes: whether all works, not for figures to be told
  --runs N     rounds in which each side is measured once; default 3
  --figures L  only these: 1 f32 steps, 2 bf16 steps, 3 the character model, 4 engine, 5 decode, 6 memory,
               7 cost against work
  --keep FILE  adds what is measured to FILE, and takes from it what is there: an interrupted comparison goes on

Leave the machine idle. The whole takes about an hour; progress goes to stderr, the table to stdout. Two threads or
workers on each side. Peers are PyTorch and, for figure 5, llama.cpp (built natively: some minutes). They come from PyPI,
once, into ~/.cache/tessera/peers (or under XDG_CACHE_HOME).
TESSERA_PEERS_PYTHON  an interpreter that has torch, and llama_cpp and gguf, to use instead
TESSERA_PIP_OPTIONS   more options for pip, such as --index-url of PyTorch's wheels without CUDA, which are much smaller
TESSERA_PROGRAM       the command to measure; default build/tessera
TESSERA_DATA          a folder with tinyshakespeare/input.txt; without it that row is left out
END
}

quick=
figures=1,2,3,4,5,6,7
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 arguments+=(--quick) ;;
    --runs | --figures | --keep)
      [ $# -gt 1 ] || die "$1 needs a value; see tools/bench/compare.sh --help"
      [ "$1" != --figures ] || figures=$2
      arguments+=("$1" "$2")
      shift
      ;;
    --help | -h)
      usage
      exit
      ;;
    *) die "unknown word '$1'; see tools/bench/compare.sh --help" ;;
  esac
  shift
done

program=${TESSERA_PROGRAM:-build/tessera}
[ -x "$program" ] || die "$program is not there; run tools/bootstrap.sh build"

peers=${XDG_CACHE_HOME:-$HOME/.cache}/tessera/peers
log=$peers/setup.log
python=${TESSERA_PEERS_PYTHON:-$peers/bin/python}
has() { "$python" -c "import $1" 2>/dev/null; }

# provide "what" "modules" PACKAGE…: installs the packages where the modules cannot be imported.
provide() {
  local what=$1 modules=$2
  shift 2
  if has "$modules"; then return; fi
  [ -z "${TESSERA_PEERS_PYTHON:-}" ] || die "$python cannot import $modules; install them there, or unset TESSERA_PEERS_PYTHON"
  [ -x "$python" ] || logged "$log" "making a Python environment (is python3-venv installed?)" python3 -m venv "$peers"
  say "$what: installing $* into $peers"
  # shellcheck disable=SC2086 # options are words
  logged "$log" "installing $*" "$python" -m pip install ${TESSERA_PIP_OPTIONS:-} "$@"
}

case ,$figures, in *,[1236],*) provide PyTorch torch,numpy torch numpy ;; esac
case ,$figures, in
  *,5,*)
    if [ -z "$quick" ]; then
      export CMAKE_ARGS=${CMAKE_ARGS:--DGGML_NATIVE=ON}
      provide llama.cpp llama_cpp,gguf llama-cpp-python gguf numpy
    fi
    ;;
esac
[ -x "$python" ] || python=python3 # figures without peers

exec python3 tools/bench/compare.py --program "$program" --python "$python" "${arguments[@]}"
