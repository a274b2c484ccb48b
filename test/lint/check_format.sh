#!/usr/bin/env bash
# Fails when a C++ source is not as clang-format 14 (.clang-format) writes it, and says where. The BPF programs are laid
# out by hand, as kernel sources are.
#
#   test/lint/check_format.sh ROOT
set -euo pipefail

cd "$1"
find common controlplane sensor test \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 clang-format-14 --dry-run --Werror
