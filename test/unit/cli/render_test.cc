// What operators read, byte for byte.
#include "controlplane/cli/render.h"

#include <catch2/catch.hpp>

#include "absl/strings/str_split.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"
#include "unit/cli/fake_services.h"

namespace bulkhead::controlplane::cli::test {
namespace {

const absl::Time kNow = FixedClock().Now();

v1::Sensor FullSensor() {
  v1::Sensor sensor = SyncedSensor();
  sensor.set_health(v1::HEALTH_DEGRADED);
  sensor.add_health_reasons("lsm_bprm_check is missing");
  sensor.set_desired_generation(8);
  sensor.set_desired_digest(std::string(32, '\x12'));
  sensor.set_convergence(v1::CONVERGENCE_STATE_FAILED);
  sensor.set_convergence_reason("map is full");
  sensor.mutable_certificate_not_after()->set_seconds(1'767'312'000);
  v1::HostInfo& host = *sensor.mutable_host();
  host.set_hostname("web-1.example.org");
  host.set_os("Debian GNU/Linux 12");
  host.set_kernel_release("6.1.0-30-cloud-amd64");
  host.set_sensor_version("0.1.0");
  v1::Receipt& receipt = *sensor.mutable_observed()->mutable_receipt();
  receipt.set_complete(true);
  receipt.set_digest(std::string(32, '\x11'));
  receipt.mutable_enforced_at()->set_seconds(1'767'225'500);
  sensor.mutable_observed_at()->set_seconds(1'767'225'595);
  v1::AttachedProgram& program = *receipt.add_programs();
  program.set_name("bh_wall_egress");
  program.set_program_id(12);
  program.set_link_id(4);
  program.set_target("/sys/fs/cgroup");
  v1::EnforcementPolicy& policy = *sensor.add_enforcement_policies();
  policy.set_id(kPolicyId);
  policy.set_name("network-containment");
  policy.set_action(v1::POLICY_ACTION_DENY);
  v1::ObservedPolicy& seen = *sensor.mutable_observed()->add_policies();
  seen.set_policy_id(kPolicyId);
  seen.add_mechanisms("cgroup_skb");
  seen.add_mechanisms("cgroup_connect");
  seen.set_hits(41);
  v1::Capabilities& capabilities = *sensor.mutable_capabilities();
  capabilities.set_containment_tier(v1::TIER_FULL);
  capabilities.set_isolation_tier(v1::TIER_WALL);
  capabilities.set_block_binary_tier(v1::TIER_PARTIAL);
  capabilities.set_allow_list_tier(v1::TIER_WALL);
  v1::Mechanism& missing = *capabilities.add_mechanisms();
  missing.set_name("lsm_bprm_check");
  missing.set_reason("bpf is not in lsm=");
  capabilities.add_mechanisms()->set_available(true);
  v1::Counter& counter = *sensor.mutable_observed()->add_counters();
  counter.set_name("drop_egress_contained");
  counter.set_value(41);
  sensor.mutable_observed()->add_counters()->set_name("fail_policy_lookup");
  sensor.mutable_observed()->add_degraded("sockets are not destroyed");
  return sensor;
}

TEST_CASE("the list of sensors") {
  v1::ListSensorsResponse sensors;
  *sensors.add_sensors() = SyncedSensor();
  v1::Sensor& away = *sensors.add_sensors();
  away.set_name("db");
  away.set_id(kPolicyId);
  away.set_health(v1::HEALTH_CRITICAL);
  away.set_trust(v1::TRUST_REVOKED);
  away.set_disabled(true);
  away.set_is_isolated(true);
  away.set_desired_generation(3);
  CHECK(RenderSensors(sensors, kNow) ==
        "NAME   HEALTH                     CONNECTED  ORDERED    ENFORCED   GENERATION  STATE    HEARTBEAT  "
        "ID                                    LABELS\n"
        "web-1  healthy                    yes        contained  contained  7/7         synced   5s ago     "
        "11111111-1111-4111-8111-111111111111  env=prod\n"
        "db     critical,revoked,disabled  no         isolated   open       0/3         unknown  -          "
        "22222222-2222-4222-8222-222222222222  -\n");
}

TEST_CASE("one sensor in full") {
  CHECK(RenderSensor(FullSensor(), kNow) ==
        "name          web-1\n"
        "id            11111111-1111-4111-8111-111111111111\n"
        "labels        env=prod\n"
        "health        degraded: lsm_bprm_check is missing\n"
        "trust         trusted, certificate ends 2026-01-02T00:00:00Z\n"
        "disabled      no\n"
        "stream        connected, last heartbeat 5s ago\n"
        "host          web-1.example.org, Debian GNU/Linux 12, kernel 6.1.0-30-cloud-amd64, sensor 0.1.0\n"
        "scope         the whole host\n"
        "etag          e7\n"
        "\n"
        "            ORDERED           IN THE KERNEL\n"
        "network     contained         contained\n"
        "generation  8                 7\n"
        "digest      1212121212121212  1111111111111111\n"
        "policies    1                 1\n"
        "state         failed\n"
        "why           map is full\n"
        "\n"
        "receipt\n"
        "  enforced 2025-12-31T23:58:20Z, applied in 310 us, reported 5s ago\n"
        "  sockets destroyed 2, drift repaired 0 times\n"
        "  bh_wall_egress (program 12, link 4) at /sys/fs/cgroup\n"
        "\n"
        "policies\n"
        "  network-containment 22222222-2222-4222-8222-222222222222, deny: cgroup_skb + cgroup_connect, 41 hits\n"
        "\n"
        "tiers (none < partial < wall < full)\n"
        "  contain full, isolate wall, block-binary partial, allow-list wall\n"
        "  missing lsm_bprm_check: bpf is not in lsm=\n"
        "\n"
        "degraded\n"
        "  sockets are not destroyed\n"
        "\n"
        "counters (those that are not zero)\n"
        "  drop_egress_contained            41\n");
}

TEST_CASE("a policy with a scope is shown with the cgroup that carries it, or waiting for one") {
  v1::Sensor sensor;
  v1::EnforcementPolicy& ordered = *sensor.add_enforcement_policies();
  ordered.set_id(kPolicyId);
  ordered.set_name("network-isolation-nginx.service");
  ordered.set_action(v1::POLICY_ACTION_DENY);
  ordered.mutable_scope()->set_systemd_unit("nginx.service");
  v1::ObservedPolicy& seen = *sensor.mutable_observed()->add_policies();
  seen.set_policy_id(kPolicyId);
  seen.add_mechanisms("cgroup_skb");
  seen.set_degraded("there is no unit nginx.service now");
  CHECK_THAT(RenderSensor(sensor, kNow),
             Catch::Contains("deny, of unit:nginx.service: waits, there is no unit nginx.service now, 0 hits\n"));
  seen.clear_degraded();
  seen.set_scope_cgroup("/system.slice/nginx.service");
  CHECK_THAT(RenderSensor(sensor, kNow),
             Catch::Contains("deny, of unit:nginx.service at /system.slice/nginx.service: cgroup_skb, 0 hits\n"));
}

TEST_CASE("a sensor that was never seen is shown without inventing anything") {
  v1::Sensor sensor;
  sensor.set_name("new");
  const std::string text = RenderSensor(sensor, kNow);
  CHECK_THAT(text, Catch::Contains("host          -\n") && Catch::Contains("the sensor has never connected"));
  CHECK_THAT(text, !Catch::Contains("receipt") && !Catch::Contains("tiers"));
}

TEST_CASE("rules, policies and tokens") {
  v1::ListIsolationRulesResponse rules;
  v1::IsolationRule& ssh = *rules.add_rules();
  ssh.set_id(kRuleId);
  ssh.set_direction(v1::DIRECTION_INBOUND);
  ssh.set_protocol(6);
  ssh.mutable_ports()->set_first(22);
  ssh.mutable_ports()->set_last(22);
  ssh.set_created_by("ada");
  ssh.mutable_created_at()->set_seconds(1'767'225'600 - 7200);
  CHECK(RenderIsolationRules(rules, kNow) ==
        "DIRECTION  ADDRESS  PORTS  PROTOCOL  DESCRIPTION  AGE     BY   ID\n"
        "inbound    any      22     tcp       -            2h ago  ada  44444444-4444-4444-8444-444444444444\n");

  v1::ListEnforcementPoliciesResponse policies;
  v1::EnforcementPolicy& policy = *policies.add_policies();
  policy.set_name("bulkhead-block-binary-tmp-x");
  policy.mutable_block_binary()->set_path("/tmp/x");
  policy.set_action(v1::POLICY_ACTION_SIGKILL);
  CHECK(RenderPolicies(policies, kNow) ==
        "NAME                         ACTION   BINARY  SCOPE  AGE  BY  SENSOR  ID\n"
        "bulkhead-block-binary-tmp-x  sigkill  /tmp/x  -      -    -   -       -\n");

  v1::ListEnrollmentTokensResponse tokens;
  v1::EnrollmentToken& token = *tokens.add_tokens();
  token.set_label("rack 7");
  token.set_state(v1::ENROLLMENT_TOKEN_STATE_ACTIVE);
  token.mutable_expires_at()->set_seconds(1'767'225'600 + 3000);
  token.set_max_uses(5);
  token.set_uses(2);
  token.add_allowed_networks("10.0.0.0/8");
  token.add_allowed_networks("192.0.2.7");
  CHECK(RenderTokens(tokens, kNow) ==
        "LABEL   STATE   USES  EXPIRES  BY  LAST USED BY  RE-ENROLLS  ID  NETWORKS              SENSOR LABELS\n"
        "rack 7  active  2/5   in 50m   -   -             -           -   10.0.0.0/8,192.0.2.7  -\n");
}

TEST_CASE("text from a compromised host cannot drive the terminal") {
  CHECK(Printable("a\x1b[31mb\r\nc\x7f") == "a?[31mb??c?");
  CHECK(Printable("\xc2\x9b"
                  "31m") == "?31m");
  CHECK(Printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  Table table({"A", "B"});
  table.AddRow({"\xc3\xbc", "x"});
  CHECK(table.ToString() == "A  B\n\xc3\xbc  x\n");
}

TEST_CASE("times and values as words") {
  google::protobuf::Timestamp time;
  CHECK(AgeWord(time, kNow) == "-");
  const auto age = [&](int64_t seconds_ago) {
    time.set_seconds(1'767'225'600 - seconds_ago);
    return AgeWord(time, kNow);
  };
  CHECK(age(0) == "0s ago");
  CHECK(age(-1) == "0s ago");
  CHECK(age(59) == "59s ago");
  CHECK(age(60) == "1m ago");
  CHECK(age(3600 * 47) == "47h ago");
  CHECK(age(3600 * 49) == "2d ago");
  CHECK(age(-120) == "in 2m");
  CHECK(Word(v1::KILL_OUTCOME_NOT_THE_SAME_PROCESS) == "not-the-same-process");
  CHECK(Word(v1::TIER_UNSPECIFIED) == "unknown");
  CHECK(Word(static_cast<v1::Health>(99)) == "99");
}

}  // namespace
}  // namespace bulkhead::controlplane::cli::test
