#!/usr/bin/env bash
# Builds the fuzz preset and runs each target for a bounded time: run_fuzz.sh SOURCE_DIR SECONDS_EACH
set -euo pipefail
cd "$1"
seconds=$2

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz_targets

ran=0
while read -r target; do
  corpus=test/fuzz/corpus/$target
  found=build/fuzz/corpus/$target
  mkdir -p "$found"
  echo "== $target: ${seconds} s"
  # New inputs go to the build tree; the committed corpus is only read. A crash leaves its input in build/fuzz.
  build/fuzz/bin/"$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix=build/fuzz/ "$found" $([ -d "$corpus" ] && echo "$corpus") 2>&1 | tail -n 12
  ran=$((ran + 1))
done <build/fuzz/fuzz_targets.txt

[ "$ran" -gt 0 ] || { echo "no fuzz target was built" >&2; exit 1; }
echo "$ran fuzz targets ran, none crashed"
