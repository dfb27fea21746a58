#!/usr/bin/env bash
# Checks what people should not have to: formatting of all sources, and clang-tidy's findings in changed ones.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup/report.sh
. tools/setup/packages.sh

usage() {
  cat <<'END'
usage: tools/lint.sh [format | tidy [BASE | --all] | fix | --help]

  (nothing)  format, then tidy
  format     whether clang-format-19 would leave every source as it is
  tidy       clang-tidy-19 on the .cpp files changed since BASE (default: main), or on all; needs build-dev configured
  fix        formats every source in place
END
}

sources() { git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' '*.h' '*.cl'; }

format() {
  install_packages clang-format-19
  sources | xargs -r clang-format-19 --dry-run -Werror
}

tidy() {
  install_packages clang-tidy-19 libomp-19-dev # clang's own omp.h
  [ -e build-dev/compile_commands.json ] || die "there is no build-dev yet: cmake --preset dev"
  local base=${1:-main} files
  if [ "$base" = --all ]; then
    files=$(git ls-files '*.cpp')
  else
    files=$(git diff --name-only --diff-filter=d "$(git merge-base "$base" HEAD)" -- '*.cpp')
  fi
  # Only what is compiled here: CUDA's files need its toolkit.
  grep -Fxf <(sed -n "s|^  \"file\": \"$PWD/\(.*\)\".*|\1|p" build-dev/compile_commands.json) <<<"$files" |
    xargs -r -n 1 -P "$(nproc)" clang-tidy-19 -p build-dev --quiet
}

case ${1:-} in
  '') format && tidy ;;
  format) format ;;
  tidy) tidy "${2:-}" ;;
  fix) install_packages clang-format-19 && sources | xargs -r clang-format-19 -i ;;
  --help | -h) usage ;;
  *) die "unknown word '$1'; see tools/lint.sh --help" ;;
esac
