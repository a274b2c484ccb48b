# shellcheck shell=bash disable=SC2154,SC2034  # variables come from and go to the scripts beside it
# The guided tour: what is tried, what the kernel does, and how long it takes. Sourced by quickstart.sh after system.sh and sandbox.sh.

wrong=0
summary=()

probe() { "$bin/bulkhead-tour-probe" "$@"; }
inside() { probe --cgroup "$scope" "$@"; }

# The tour's own processes: a peer to talk to, a service, a held connection, a binary, something that runs for long.
start_demo() {
  local pid since
  demo_port=$(free_port 7001)
  cp /bin/true "$dir/demo/suspicious-tool"
  start peer ip netns exec "$peer_namespace" "$bin/bulkhead-tour-probe" serve "$peer_port"
  start service "$bin/bulkhead-tour-probe" --cgroup "$scope" serve "$demo_port"
  until_true 10 "the peer" probe try tcp "$peer4" "$peer_port"
  until_true 10 "the peer over IPv6" probe try tcp "$peer6" "$peer_port"
  until_true 10 "the demo service" in_peer "$bin/bulkhead-tour-probe" try tcp "$host4" "$demo_port"
  # Somebody else's service on that port would answer too, and no order would cut it.
  read -r pid since <"$dir/run/service.pid"
  until_true 1 "the demo service's listening on port $demo_port" is_running "$pid" "$since"
  hold_connection
  # shellcheck disable=SC2016  # expanded by the inner shell
  start runner sh -c 'echo $$ >"$1/cgroup.procs" && exec sleep 86400' runner "$scope"
}

hold_connection() {
  stop held
  rm -f "$dir/log/held.log"
  start held "$bin/bulkhead-tour-probe" --cgroup "$scope" hold "$peer4" "$peer_port"
  until_true 10 "a held connection" grep -q . "$dir/log/held.log"
}

# What the held connection does now. It is asked for a round trip every 20 ms and gives up on one after 400 ms.
held_state() {
  local pid since
  sleep 0.6
  read -r pid since <"$dir/run/held.pid"
  is_running "$pid" "$since" || { echo "cut ended"; return; }
  tail -n 1 "$dir/log/held.log"
}

# check WANTED LABEL RESULT: prints one line; RESULT begins with "open" or "cut".
check() {
  local wanted=$1 label=$2 result=$3 mark=ok
  if [ "${result%% *}" != "$wanted" ]; then
    mark="WRONG, expected: $wanted"
    wrong=$((wrong + 1))
  fi
  printf '   %-44s %-24s %s\n' "$label" "$result" "$mark"
}

# traffic OUT4 OUT6 PING IN HELD BINARY: tries everything; each word is what is expected, open or cut.
traffic() {
  check "$1" "TCP  out, IPv4, to $peer4:$peer_port" "$(inside try tcp "$peer4" "$peer_port" || true)"
  check "$2" "TCP  out, IPv6, to [$peer6]:$peer_port" "$(inside try tcp "$peer6" "$peer_port" || true)"
  check "$1" "UDP  out, IPv4" "$(inside try udp "$peer4" "$peer_port" || true)"
  check "$2" "UDP  out, IPv6" "$(inside try udp "$peer6" "$peer_port" || true)"
  check "$3" "ICMP out, IPv4" "$(inside try icmp "$peer4" 0 || true)"
  check "$3" "ICMP out, IPv6" "$(inside try icmp "$peer6" 0 || true)"
  check "$4" "TCP  in,  IPv4, to the demo service" "$(in_peer "$bin/bulkhead-tour-probe" try tcp "$host4" "$demo_port" || true)"
  check "$4" "TCP  in,  IPv6, to the demo service" "$(in_peer "$bin/bulkhead-tour-probe" try tcp "$host6" "$demo_port" || true)"
  check "$5" "TCP  connection held since before" "$(held_state)"
  check "$6" "execute $dir/demo/suspicious-tool" "$(inside try exec "$dir/demo/suspicious-tool" || true)"
}

# order LABEL MEASURE... -- BULKHEADCTL ARGUMENTS...: gives the order and measures until the kernel obeys. Sets order_output.
order() {
  local label=$1 measure=() millis
  shift
  while [ "$1" != -- ]; do
    measure+=("$1")
    shift
  done
  shift
  printf '\n-- %s\n   $ bulkheadctl %s\n' "$label" "$*"
  if millis=$(inside "${measure[@]}" -- "$bin/bulkheadctl" --config "$dir/operator/config.yaml" "$@" 2>"$dir/log/order.log"); then
    sed 's/^/   | /' "$dir/log/order.log"
    printf '   enforced %s ms after the call\n' "$millis"
  else
    sed 's/^/   | /' "$dir/log/order.log"
    echo "   WRONG: the order failed or the kernel did not obey within 10 s"
    wrong=$((wrong + 1))
    millis=-
  fi
  order_output=$(cat "$dir/log/order.log")
  current_label=$label
  current_millis=$millis
  wrong_before=$wrong
}

# Ends a step: one line of the table.
done_with() {
  local result=$1
  [ "$wrong" -eq "${wrong_before:-0}" ] && [ "$current_millis" != - ] || result="WRONG: $result"
  summary+=("$(printf '%-34s %10s   %s' "$current_label" "$current_millis" "$result")")
}

tour_containment() {
  order "2. contain" measure cut send "$peer4" "$peer_port" -- sensor contain "$sensor_name" --wait --reason "quickstart tour"
  traffic cut cut cut open cut open
  done_with "out: cut, held connection: cut, in: open"

  order "3. release" measure open send "$peer4" "$peer_port" -- sensor release "$sensor_name" --wait --reason "quickstart tour"
  hold_connection
  traffic open open open open open open
  done_with "everything open"
}

tour_processes() {
  local tool=$dir/demo/suspicious-tool policy pid since
  order "4. block a binary" measure cut exec "$tool" -- sensor block-binary "$sensor_name" "$tool" --wait
  traffic open open open open open cut
  done_with "execution: killed before it ran; network: open"

  policy=$(sed -n 's/^policy: [^ ]* //p' <<<"$order_output")
  order "5. unblock it" measure open exec "$tool" -- policy delete "$policy" --wait
  traffic open open open open open open
  done_with "execution: runs"

  read -r pid since <"$dir/run/runner.pid"
  order "6. kill a process (pid $pid)" measure-exit "$pid" -- sensor kill "$sensor_name" "$pid" --wait
  check cut "process $pid" "$(is_running "$pid" "$since" && echo open still there || echo cut gone)"
  done_with "process: gone, confirmed with a result"
}

tour_isolation() {
  local rule
  order "7. isolate" measure cut send "$peer4" "$peer_port" -- sensor isolate "$sensor_name" --wait --reason "quickstart tour"
  traffic cut cut cut cut cut open
  done_with "in and out: cut, held connection: cut"

  order "8. add a rule while isolated" measure open send "$peer4" "$peer_port" -- \
    isolation-rule add --direction outbound --address "$peer4" --ports "$peer_port" --description "quickstart tour" --wait
  traffic open cut cut cut cut open
  done_with "only $peer4:$peer_port out: open"

  rule=$(sed -n 's/^rule: *\([^,]*\),.*/\1/p' <<<"$order_output")
  order "9. remove the rule while isolated" measure cut send "$peer4" "$peer_port" -- isolation-rule delete "$rule" --wait
  traffic cut cut cut cut cut open
  done_with "in and out: cut again"

  order "10. release" measure open send "$peer4" "$peer_port" -- sensor release "$sensor_name" --wait
  hold_connection
  traffic open open open open open open
  done_with "everything open"
}

print_summary() {
  local line
  say "The tour in one table (milliseconds from the operator's call, program start included, to enforcement)"
  printf '%-34s %10s   %s\n' STEP MS "WHAT THE KERNEL DID"
  for line in "${summary[@]}"; do printf '%s\n' "$line"; done
}

take_tour() {
  say "The tour: everything is tried from processes inside $scope"
  start_demo
  printf '\n-- 1. before\n'
  traffic open open open open open open
  current_label="1. before"
  current_millis=""
  done_with "everything open"
  tour_containment
  tour_processes
  tour_isolation
  print_summary
  [ "$wrong" -eq 0 ]
}
