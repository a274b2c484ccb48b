# shellcheck shell=bash disable=SC2154,SC2034  # variables come from and go to the scripts beside it
# The demo's cgroup, network namespace and veth pair. Sourced by quickstart.sh; uses dir. Names and addresses are derived from dir,
# so that two quickstarts in two directories do not meet.

sandbox_id=$(printf %s "$dir" | cksum | cut -d' ' -f1)
readonly peer_namespace=bulkhead-qs-$sandbox_id
readonly host_link=bhq$((sandbox_id % 100000))h
readonly peer_link=bhq$((sandbox_id % 100000))p
# 198.18.0.0/15 is set aside for tests between devices (RFC 2544); the IPv6 prefix is a unique local one.
readonly subnet4=198.18.$((sandbox_id % 256))
subnet6=fd42:b417:$(printf '%x' $((sandbox_id % 65536)))
readonly host4=$subnet4.1 peer4=$subnet4.2 host6=$subnet6::1 peer6=$subnet6::2
readonly peer_port=7000
scope=

cgroup2_root() { awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo; }

in_peer() { ip netns exec "$peer_namespace" "$@"; }

make_sandbox() {
  local root
  root=$(cgroup2_root)
  [ -n "$root" ] || { echo "quickstart: no cgroup v2 hierarchy is mounted; try: mount -t cgroup2 none /sys/fs/cgroup" >&2; exit 1; }
  scope=$root/bulkhead-quickstart-$sandbox_id
  mkdir -p "$scope"
  echo "$scope" >"$dir/run/scope"
  ip netns add "$peer_namespace"
  ip link add "$host_link" type veth peer name "$peer_link" netns "$peer_namespace"
  ip address add "$host4/30" dev "$host_link"
  ip address add "$host6/64" dev "$host_link" nodad
  ip link set "$host_link" up
  in_peer ip address add "$peer4/30" dev "$peer_link"
  in_peer ip address add "$peer6/64" dev "$peer_link" nodad
  in_peer ip link set lo up
  in_peer ip link set "$peer_link" up
}

# Ends the processes that were put into the demo cgroup, and only those.
empty_scope() {
  local cgroup=$1 pid
  for _ in $(seq 50); do
    [ -s "$cgroup/cgroup.procs" ] || grep -q . "$cgroup/cgroup.procs" || return 0
    while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$cgroup/cgroup.procs"
    sleep 0.1
  done
}

remove_sandbox() {
  local root
  root=$(cgroup2_root)
  local cgroup=$root/bulkhead-quickstart-$sandbox_id
  if [ -n "$root" ] && [ -d "$cgroup" ]; then
    empty_scope "$cgroup"
    rmdir "$cgroup" 2>/dev/null || echo "quickstart: $cgroup is still in use" >&2
  fi
  ip link delete "$host_link" 2>/dev/null || true
  ip netns delete "$peer_namespace" 2>/dev/null || true
  rm -f "$dir/run/scope"
}
