#!/usr/bin/env bash
# Makes an old primary, which is stopped, a standby of the new one: what it alone had is undone. Run as the user postgres
# on its machine, then start the server.
#
#   rejoin.sh NAME PRIMARY DATA     NAME as in synchronous_standby_names; PRIMARY: "host=… port=… user=… dbname=postgres"
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
name=$1 primary=$2 data=$3

bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
# Debian keeps the configuration apart from the data.
configuration=()
[ -e "$data/postgresql.conf" ] || configuration=(--config-file="/etc$(dirname "${bin#/usr/lib}")/main/postgresql.conf")
# PostgreSQL 15 says on which timeline it is only after the first checkpoint on it.
psql -X -q -d "$primary" -c CHECKPOINT
"$bin/pg_rewind" "${configuration[@]}" --target-pgdata="$data" --source-server="$primary application_name=$name" --write-recovery-conf
# The new primary may run alone for now; this one must not when it is promoted again.
sed -i '/^synchronous_standby_names/d' "$data/postgresql.auto.conf"
