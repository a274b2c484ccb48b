#!/usr/bin/env bash
# Bulkhead on one machine: installs, builds, starts everything, and takes you on a tour with real processes and real traffic.
#
#   deploy/quickstart.sh            sets up, takes the tour, leaves the system running
#   deploy/quickstart.sh --exit     the same, and stops everything at the end
#   deploy/quickstart.sh down       stops a running one and removes all it made
#
# Options: --dir DIR   where state and logs live (default /var/lib/bulkhead-quickstart)
#          --bin DIR   use the programs in DIR instead of installing packages and building
#
# Enforcement is confined to one demo cgroup, and the traffic to a network namespace and a veth pair made here: nothing else on this machine
# is cut. Every run starts from nothing. The exit code is 0 only if every step of the tour did what it promises.
set -Eeuo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
dir=/var/lib/bulkhead-quickstart
bin=
verb=up
exit_after=no

while [ $# -gt 0 ]; do
  case "$1" in
    down) verb=down ;;
    --exit) exit_after=yes ;;
    --dir | --bin)
      [ $# -ge 2 ] || { echo "quickstart: $1 needs a directory" >&2; exit 2; }
      if [ "$1" = --dir ]; then dir=$2; else bin=$2; fi
      shift
      ;;
    -h | --help)
      sed -n '2,13s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *)
      echo "quickstart: unknown argument '$1'; see --help" >&2
      exit 2
      ;;
  esac
  shift
done

[ "$(id -u)" -eq 0 ] || { echo "quickstart: root is needed to load eBPF programs and make network namespaces" >&2; exit 1; }
case "$dir" in /*) ;; *) dir=$PWD/$dir ;; esac

# shellcheck source=deploy/quickstart/system.sh
. "$repository/deploy/quickstart/system.sh"
# shellcheck source=deploy/quickstart/sandbox.sh
. "$repository/deploy/quickstart/sandbox.sh"
# shellcheck source=deploy/quickstart/tour.sh
. "$repository/deploy/quickstart/tour.sh"

tear_down() {
  stop_all
  lift_enforcement
  remove_sandbox
}

if [ "$verb" = down ]; then
  tear_down
  echo "quickstart: stopped. Logs and state stay in $dir until the next run."
  exit 0
fi

finished=no
on_exit() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [ "$finished" = no ]; then
    echo "quickstart: did not finish; stopping what was started. Logs: $dir/log" >&2
    for log in "$dir"/log/*.log; do
      [ ! -s "$log" ] || { echo "== the end of $log"; tail -n 3 "$log"; } >&2
    done
    tear_down
  fi
  exit "$status"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

readonly began=$SECONDS
[ -n "$bin" ] || install_and_build
tear_down
prepare_state
make_sandbox
start_system
readonly ready=$((SECONDS - began))
tour_result=0
take_tour || tour_result=$?
echo
echo "set up in $ready s, tour in $((SECONDS - began - ready)) s"
[ "$tour_result" -eq 0 ] || { echo "quickstart: A STEP DID NOT DO WHAT IT PROMISES; see above" >&2; exit 1; }
if [ "$exit_after" = yes ]; then
  tear_down
  echo "quickstart: stopped everything (--exit)."
else
  print_next_steps
fi
finished=yes
