#!/usr/bin/env bash
# Makes the standby in DATA the primary. Run as the user postgres on its machine.
#
#   promote.sh --old-primary-is-dead [--alone] DATA
#
# The old primary must be dead first: powered off, its server stopped, or its port shut at a firewall. Two primaries that
# are both reachable are two truths. --alone: no other standby is left, so orders are answered when this machine alone has
# them; without it they wait for a standby.
set -euo pipefail
dead= alone= data=
for word in "$@"; do
  case "$word" in
    --old-primary-is-dead) dead=1 ;;
    --alone) alone=1 ;;
    *) data=$word ;;
  esac
done
[ -n "$dead" ] && [ -n "$data" ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
"$bin/pg_ctl" promote -w -D "$data"
[ -z "$alone" ] && exit
# Lines 4 and 5 of postmaster.pid: port and the directory of the socket.
port=$(sed -n 4p "$data/postmaster.pid") socket=$(sed -n 5p "$data/postmaster.pid")
psql -X -q -h "$socket" -p "$port" -c "ALTER SYSTEM SET synchronous_standby_names = ''" -c "SELECT pg_reload_conf()" >/dev/null
echo "orders are on this machine alone; once a standby follows: ALTER SYSTEM RESET synchronous_standby_names, reload"
