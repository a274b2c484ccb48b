#!/usr/bin/env bash
# Installs what the suites need, builds with sanitizers and runs the suites through ctest, whose summary comes last.
#
#   test/run.sh              every suite but bench
#   test/run.sh LABEL...     only the suites with one of these labels: lint protos unit store kernel vm guest e2e leak fuzz
#                            bench (guest: the short ones of vm)
#
# JOBS=N builds with N processes (default: one for each CPU). The exit status is ctest's; running no test at all is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buf_version=1.47.2
readonly jobs=${JOBS:-$(nproc)}

install_buf() {
  local marker=build/tools/buf-$buf_version
  [ -e "$marker" ] && return
  echo "installing: buf $buf_version"
  npm install --silent --no-audit --no-fund --no-save --prefix build/tools "@bufbuild/buf@$buf_version"
  touch "$marker"
}

selection() {
  if [ $# -eq 0 ]; then
    echo "-LE ^bench$"
  else
    local IFS='|'
    echo "-L ^($*)$"
  fi
}

case "${1:-}" in
  -h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

deploy/packages.sh install build run test
mkdir -p build
install_buf
test/vm/kernels.sh build/vm/kernels

cmake --preset dev -Wno-dev
cmake --build --preset dev --parallel "$jobs"

# Two at a time: suites that own the machine say so with RUN_SERIAL or RESOURCE_LOCK.
read -r -a chosen <<<"$(selection "$@")"
exec ctest --test-dir build/dev --output-on-failure --no-tests=error --parallel 2 "${chosen[@]}"
