#!/usr/bin/env bash
# The quickstart keeps its promises: the tour passes, a second run works while the first still runs, "down", --exit and an interruption
# leave nothing.
#
#   quickstart_test.sh REPOSITORY BIN_DIRECTORY
set -Eeuo pipefail

readonly repository=$1 bin=$2
work=$(mktemp -d /tmp/bulkhead-quickstart-test-XXXXXX)
readonly work
readonly state=$work/state
ended_with=
chmod 0755 "$work"

quickstart() { "$repository/deploy/quickstart.sh" --bin "$bin" --dir "$state" "$@"; }

on_exit() {
  quickstart down >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap on_exit EXIT

fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$state"/log/*.log >&2 || true
  exit 1
}

# What one quickstart leaves on the machine; names are derived from its directory.
leftovers() {
  local id
  id=$(printf %s "$state" | cksum | cut -d' ' -f1)
  ip netns list | grep "bulkhead-qs-$id" || true
  ip -o link | grep "bhq$((id % 100000))h" || true
  find /sys/fs/cgroup -maxdepth 2 -name "bulkhead-quickstart-$id" 2>/dev/null || true
  find /sys/fs/bpf/bulkhead -mindepth 1 -maxdepth 1 -name "*quickstart*$id*" 2>/dev/null || true
  pgrep -af -- "$state" || true
}

expect_nothing_left() {
  local left
  left=$(leftovers)
  [ -z "$left" ] || fail "$1 left behind: $left"
}

is_up() { "$bin/bulkheadctl" --config "$state/operator/config.yaml" sensor get demo -o json | grep -q '"connected": true'; }

# interrupt SIGNAL: starts a run and sends the signal to its whole process group in the middle of the tour, as a terminal does.
# Sets ended_with.
interrupt() {
  local run
  set -m
  (exec "$repository/deploy/quickstart.sh" --bin "$bin" --dir "$state" >"$work/interrupted.txt" 2>&1) &
  run=$!
  set +m
  for _ in $(seq 1200); do
    grep -qs -- "-- 2. contain" "$work/interrupted.txt" && break
    sleep 0.1
  done
  kill "-$1" -- "-$run"
  ended_with=0
  wait "$run" 2>/dev/null || ended_with=$?
  : >"$work/interrupted.txt"
}

echo "== first run: the tour passes and the system stays"
quickstart || fail "the first run"
is_up || fail "the system does not run after the tour"

echo "== second run with --exit, while the first one runs: passes, and stops everything"
quickstart --exit >"$work/second.txt" || { cat "$work/second.txt"; fail "the second run"; }
expect_nothing_left "--exit"

echo "== interrupted in the middle of the tour: cleans up"
interrupt TERM
[ "$ended_with" -eq 143 ] || fail "interrupted, it ended with $ended_with"
expect_nothing_left "the interrupted run"

echo "== killed in the middle of the tour: the system stays up, and down cleans up"
interrupt KILL
is_up || fail "the sensor went with the script"
quickstart down || fail "down"
expect_nothing_left down

echo "== a directory that is not its own is not touched"
mkdir "$work/foreign"
echo keep >"$work/foreign/file"
if "$repository/deploy/quickstart.sh" --bin "$bin" --dir "$work/foreign" --exit >/dev/null 2>&1; then fail "a foreign directory was taken"; fi
[ "$(cat "$work/foreign/file")" = keep ] || fail "a foreign directory was changed"
echo "quickstart: all as promised"
