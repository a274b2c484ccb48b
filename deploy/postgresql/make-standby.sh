#!/usr/bin/env bash
# Makes DATA a copy of a primary, ready to start as its standby. Run as the user postgres, with DATA empty or absent.
#
#   make-standby.sh NAME PRIMARY DATA     NAME as in synchronous_standby_names; PRIMARY: "host=… port=… user=…"
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
name=$1 primary=$2 data=$3

bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
"$bin/pg_basebackup" --pgdata="$data" --dbname="$primary application_name=$name" --wal-method=stream --checkpoint=fast \
  --write-recovery-conf
# A copy of a primary that was promoted to run alone would run alone when it is promoted itself.
sed -i '/^synchronous_standby_names/d' "$data/postgresql.auto.conf"
