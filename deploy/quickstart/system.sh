# shellcheck shell=bash disable=SC2154,SC2034  # variables come from and go to the scripts beside it
# Starts and stops Bulkhead's programs for quickstart.sh. Sourced; uses repository, dir and bin.

# The demo sensor's name.
readonly sensor_name=demo

say() { printf '\n== %s\n' "$*"; }

install_and_build() {
  say "Installing packages"
  "$repository/deploy/packages.sh" install build run tour
  say "Building (cmake --preset release)"
  cmake --preset release -S "$repository" -B "$repository/build/release" -Wno-dev >/dev/null
  cmake --build "$repository/build/release" --parallel "$(nproc)" \
    --target bulkhead-controlplane bulkhead-sensor bulkheadctl bulkhead-tour-probe
  bin=$repository/build/release/bin
}

# A directory is only ever emptied if this script made it.
prepare_state() {
  if [ -e "$dir" ] && [ ! -e "$dir/.bulkhead-quickstart" ] && [ -n "$(ls -A "$dir")" ]; then
    echo "quickstart: $dir is not empty and was not made by quickstart; give another --dir" >&2
    exit 1
  fi
  rm -rf "$dir"
  mkdir -p "$dir/run" "$dir/log" "$dir/demo"
  # PostgreSQL runs as its own user and must reach its directory.
  chmod 0755 "$dir"
  : >"$dir/.bulkhead-quickstart"
}

# Field 22 of /proc/PID/stat: with the pid it names one process for good.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

is_running() {
  local pid=$1 since=$2
  [ -n "$since" ] && [ "$(start_time "$pid")" = "$since" ]
}

# start NAME COMMAND...: in the background, in a session of its own, so that Ctrl-C reaches only this script.
start() {
  local name=$1
  shift
  setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
  echo "$! $(start_time $!)" >"$dir/run/$name.pid"
  # Its end is this script's business, not the shell's to report.
  disown
}

stop() {
  local file=$dir/run/$1.pid pid since
  [ -e "$file" ] || return 0
  read -r pid since <"$file" || true
  if is_running "$pid" "$since"; then
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      is_running "$pid" "$since" || break
      sleep 0.1
    done
    is_running "$pid" "$since" && kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$file"
}

stop_all() {
  local file name
  # The sensor first, then what it talks to; the rest is the tour's.
  for name in sensor controlplane; do stop "$name"; done
  for file in "$dir"/run/*.pid; do
    [ -e "$file" ] || continue
    name=${file##*/}
    stop "${name%.pid}"
  done
}

# The scope is known once the sandbox was made; the sensor may be gone, the pinned programs are not.
lift_enforcement() {
  [ -e "$dir/run/bin" ] && [ -e "$dir/run/scope" ] || return 0
  "$(cat "$dir/run/bin")/bulkhead-sensor" uninstall --force --state "$dir/sensor" --scope "$(cat "$dir/run/scope")" \
    >>"$dir/log/uninstall.log" 2>&1 || echo "quickstart: enforcement was not lifted; see $dir/log/uninstall.log" >&2
}

is_listening() { ss -Hltn "sport = :$1" | grep -q .; }

# free_port FIRST: the first free one from there on.
free_port() {
  local port=$1
  while is_listening "$port"; do port=$((port + 1)); done
  echo "$port"
}

# until_true SECONDS WHAT COMMAND...
until_true() {
  local seconds=$1 what=$2
  shift 2
  for _ in $(seq $((seconds * 10))); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "quickstart: $what did not happen within $seconds s; the logs are in $dir/log:" >&2
  tail -n 5 "$dir"/log/*.log >&2
  exit 1
}

ctl() { "$bin/bulkheadctl" --config "$dir/operator/config.yaml" "$@"; }
admin_ctl() { "$bin/bulkheadctl" --config "$dir/admin/config.yaml" "$@"; }

is_connected() { ctl sensor get "$sensor_name" -o json | grep -q '"connected": true'; }

start_system() {
  echo "$bin" >"$dir/run/bin"
  local port
  port=$(free_port 7443)
  local database=(--state "$dir/controlplane" "--postgres=embedded:$dir/postgres")
  say "Starting the control plane on 127.0.0.1:$port with its own PostgreSQL"
  "$bin/bulkhead-controlplane" init --state "$dir/controlplane" >>"$dir/log/setup.log" 2>&1
  start controlplane "$bin/bulkhead-controlplane" serve "${database[@]}" --listen "127.0.0.1:$port" --server-name localhost \
    --server-name 127.0.0.1
  # Before it listens its database is not there yet, and a second one would be started on the same directory.
  until_true 60 "the control plane's listening on port $port" is_listening "$port"
  local role
  for role in admin operator; do
    "$bin/bulkhead-controlplane" issue-operator "${database[@]}" --name "$role" --role "$role" --out "$dir/$role" \
      --server "127.0.0.1:$port" >>"$dir/log/setup.log" 2>&1
  done
  until_true 30 "an answer of the control plane" admin_ctl sensor list

  say "Enrolling and starting the sensor, confined to $scope"
  admin_ctl token create --label quickstart --secret-file "$dir/run/token" >>"$dir/log/setup.log"
  local to=(--control-plane "127.0.0.1:$port" --state "$dir/sensor")
  "$bin/bulkhead-sensor" enroll "${to[@]}" --ca "$dir/admin/ca.pem" --token-file "$dir/run/token" --name "$sensor_name" \
    >>"$dir/log/setup.log" 2>&1
  rm -f "$dir/run/token"
  start sensor "$bin/bulkhead-sensor" run "${to[@]}" --scope "$scope"
  until_true 60 "the sensor's connection" is_connected
  ctl sensor list
}

print_next_steps() {
  cat <<NEXT

It is running. Three commands to try next:

  export BULKHEAD_CONFIG=$dir/operator/config.yaml
  $bin/bulkheadctl sensor get $sensor_name
  $bin/bulkheadctl sensor contain $sensor_name --wait --reason "trying it out"
  $bin/bulkheadctl sensor release $sensor_name --wait

Stop it: $repository/deploy/quickstart.sh down$([ "$dir" = /var/lib/bulkhead-quickstart ] || echo " --dir $dir")
NEXT
}
