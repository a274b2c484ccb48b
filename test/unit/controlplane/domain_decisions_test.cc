// Health, order checks, roles, digests, the audit chain, page tokens and errors.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "controlplane/domain/audit_chain.h"
#include "controlplane/domain/canonical_encoding.h"
#include "controlplane/domain/command_state.h"
#include "controlplane/domain/desired_state_digest.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/health.h"
#include "controlplane/domain/json_object.h"
#include "controlplane/domain/order_check.h"
#include "controlplane/domain/page_token.h"
#include "controlplane/domain/policy_name.h"
#include "controlplane/domain/roles.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1790000000);
const absl::Duration kInterval = absl::Seconds(30);

Sensor HealthySensor() {
  Sensor sensor;
  sensor.name = "web-1";
  sensor.desired_generation = 7;
  sensor.desired_digest = std::string(32, 'd');
  sensor.report.observed_generation = 7;
  sensor.report.observed_digest = sensor.desired_digest;
  sensor.observed_at = sensor.last_heartbeat_at = kNow - absl::Seconds(1);
  sensor.enrolled_at = kNow - absl::Hours(1);
  sensor.connected = true;
  sensor.etag = "5";
  return sensor;
}

HealthReport Assess(const Sensor& sensor) {
  return AssessHealth(sensor, kInterval, kNow);
}

TEST_CASE("a connected sensor whose kernel has what was ordered is healthy and synced") {
  const HealthReport report = Assess(HealthySensor());
  CHECK(report.health == Health::kHealthy);
  CHECK(report.reasons.empty());
  CHECK(report.convergence == Convergence::kSynced);
}

TEST_CASE("a wall without a complete receipt is pending, and one whose probe failed has failed") {
  Sensor sensor = HealthySensor();
  sensor.report.receipt_complete = false;
  CHECK(Assess(sensor).convergence == Convergence::kPending);
  CHECK_FALSE(Assess(sensor).convergence_reason.empty());
  sensor.report.failed_probe = "the probe connect_refused failed: it went through";
  CHECK(Assess(sensor).convergence == Convergence::kFailed);
  CHECK(Assess(sensor).health == Health::kDegraded);
  CHECK(absl::StrContains(Assess(sensor).convergence_reason, "it went through"));
}

TEST_CASE("a policy that was refused alone makes a sensor partial, and hides neither a failed nor a missing proof") {
  Sensor sensor = HealthySensor();
  sensor.report.refused_policy = "the sensor refused policy p1: it is a shell";
  CHECK(Assess(sensor).convergence == Convergence::kPartial);
  CHECK(absl::StrContains(Assess(sensor).convergence_reason, "it is a shell"));
  sensor.report.receipt_complete = false;
  CHECK(Assess(sensor).convergence == Convergence::kPending);
  sensor.report.failed_probe = "the probe connect_refused failed: it went through";
  CHECK(Assess(sensor).convergence == Convergence::kFailed);
}

TEST_CASE("a lease that is over and holds is told until somebody lifts it") {
  Sensor sensor = HealthySensor();
  sensor.policies.push_back(
      {.name = "network-containment", .expires_at = kNow + absl::Seconds(1), .on_expiry = OnExpiry::kHold});
  CHECK(Assess(sensor).health == Health::kHealthy);
  sensor.policies[0].expires_at = kNow;
  CHECK(Assess(sensor).health == Health::kDegraded);
  CHECK(absl::StrContains(Assess(sensor).reasons.at(0), "network-containment"));
  // The next sweep ends it.
  sensor.policies[0].on_expiry = OnExpiry::kRelease;
  CHECK(Assess(sensor).health == Health::kHealthy);
}

TEST_CASE("three missed heartbeats make a sensor offline, not sooner") {
  Sensor sensor = HealthySensor();
  sensor.observed_at = sensor.last_heartbeat_at = kNow - kInterval * 3;
  CHECK(Assess(sensor).health == Health::kHealthy);
  sensor.observed_at = sensor.last_heartbeat_at = kNow - kInterval * 3 - absl::Seconds(1);
  CHECK(Assess(sensor).health == Health::kOffline);
  sensor.observed_at = kNow;  // a hello counts as a sign of life
  CHECK(Assess(sensor).health == Health::kHealthy);
}

TEST_CASE("revoked or critical comes before everything else, with the reasons") {
  Sensor sensor = HealthySensor();
  sensor.report.critical = {"wall detached"};
  sensor.observed_at = sensor.last_heartbeat_at = kNow - absl::Hours(1);
  CHECK(Assess(sensor).health == Health::kCritical);
  CHECK(Assess(sensor).reasons == std::vector<std::string>{"wall detached"});
  sensor.report.critical.clear();
  sensor.trust = Trust::kRevoked;
  CHECK(Assess(sensor).health == Health::kCritical);
}

TEST_CASE("what is weaker than ordered makes a sensor degraded, and converging does not") {
  Sensor sensor = HealthySensor();
  sensor.desired_generation = 8;
  CHECK(Assess(sensor).health == Health::kHealthy);
  CHECK(Assess(sensor).convergence == Convergence::kPending);
  sensor = HealthySensor();
  sensor.report.isolation_tier = Tier::kPartial;
  CHECK(Assess(sensor).health == Health::kDegraded);
  sensor = HealthySensor();
  sensor.connected = false;
  CHECK(Assess(sensor).health == Health::kDegraded);
}

TEST_CASE("convergence tells pending, failed and drifted apart") {
  Sensor sensor = HealthySensor();
  sensor.desired_generation = 8;
  sensor.failed_generation = 8;
  sensor.failed_reason = "map full";
  CHECK(Assess(sensor).convergence == Convergence::kFailed);
  CHECK(Assess(sensor).convergence_reason == "map full");
  CHECK(Assess(sensor).health == Health::kDegraded);
  sensor = HealthySensor();
  sensor.report.observed_digest = std::string(32, 'x');
  CHECK(Assess(sensor).convergence == Convergence::kDrifted);
  sensor.report.observed_generation = 9;
  CHECK(Assess(sensor).convergence == Convergence::kDrifted);
  sensor = HealthySensor();
  sensor.observed_at.reset();
  CHECK(Assess(sensor).convergence == Convergence::kUnknown);
}

TEST_CASE("orders are checked for trust, health, etag and tier") {
  Sensor sensor = HealthySensor();
  CHECK_CODE(CheckTakesOrders(sensor), kOk);
  sensor.report.critical = {"wall detached"};
  CHECK(ReasonOf(CheckTakesOrders(sensor)) == "SENSOR_CRITICAL");
  sensor.trust = Trust::kRevoked;
  CHECK(ReasonOf(CheckTakesOrders(sensor)) == "SENSOR_REVOKED");
  OrderContext context;
  CHECK_CODE(CheckEtag(sensor, context), kOk);
  context.etag = "4";
  CHECK_CODE(CheckEtag(sensor, context), kAborted);
  const PolicyTemplate wanted = PolicyTemplate::kNetworkIsolation;
  sensor.report.isolation_tier = Tier::kUnknown;
  CHECK_CODE(CheckTier(sensor, wanted, false), kOk);
  sensor.report.isolation_tier = Tier::kNone;
  CHECK_CODE(CheckTier(sensor, wanted, true), kFailedPrecondition);
  sensor.report.isolation_tier = Tier::kPartial;
  CHECK(ReasonOf(CheckTier(sensor, wanted, false)) == "MECHANISM_MISSING");
  CHECK_CODE(CheckTier(sensor, wanted, true), kOk);
  sensor.report.isolation_tier = Tier::kWall;
  CHECK_CODE(CheckTier(sensor, wanted, false), kOk);
  // A sensor of before allow-lists tells nothing about them.
  sensor.report.block_binary_tier = Tier::kUnknown;
  CHECK_CODE(CheckTier(sensor, PolicyTemplate::kAllowList, false), kOk);
  sensor.report.block_binary_tier = Tier::kFull;
  CHECK_CODE(CheckTier(sensor, PolicyTemplate::kAllowList, true), kFailedPrecondition);
  sensor.report.allow_list_tier = Tier::kWall;
  CHECK_CODE(CheckTier(sensor, PolicyTemplate::kAllowList, false), kOk);
}

TEST_CASE("each role may do what the one below may, and unknown things are for nobody") {
  for (const absl::string_view method : MethodsWithPermission()) {
    const absl::string_view permission = PermissionFor(method);
    INFO(std::string(method));
    CHECK_FALSE(permission.empty());
    CHECK(RoleHas("admin", permission));
    if (RoleHas("viewer", permission)) CHECK(RoleHas("operator", permission));
  }
  CHECK(RoleHas("operator", "agents:manage"));
  CHECK_FALSE(RoleHas("viewer", "agents:manage"));
  CHECK_FALSE(RoleHas("operator", "sensors:manage"));
  CHECK_FALSE(RoleHas("root", "sensors:read"));
  CHECK_FALSE(RoleHas("admin", ""));
  CHECK(PermissionFor("/bulkhead.v1.SensorService/NoSuchMethod").empty());
  CHECK_CODE(CheckPermission({"vera", "viewer", false}, "/bulkhead.v1.SensorService/ContainSensor"), kPermissionDenied);
  CHECK_CODE(CheckPermission({"olga", "operator", false}, "/bulkhead.v1.SensorService/ContainSensor"), kOk);
  CHECK_CODE(CheckPermission({"olga", "operator", false}, "/bulkhead.v1.SensorService/RevokeSensor"),
             kPermissionDenied);
  CHECK_CODE(CheckPermission({"ada", "admin", false}, "/bulkhead.v1.SensorLinkService/Connect"), kPermissionDenied);
}

Policy MakePolicy(const std::string& id, PolicyTemplate policy_template) {
  Policy policy;
  policy.id = id;
  policy.policy_template = policy_template;
  return policy;
}

TEST_CASE("the digest depends on what is enforced, and on nothing else") {
  const Policy contain = MakePolicy("1", PolicyTemplate::kNetworkContainment);
  const Policy isolate = MakePolicy("2", PolicyTemplate::kNetworkIsolation);
  const auto digest = [](const std::vector<Policy>& policies, const std::string& rules) {
    return DesiredStateDigest("s", policies, rules);
  };
  CHECK(digest({}, "").size() == 32);
  CHECK(digest({contain, isolate}, "r") == digest({isolate, contain}, "r"));
  CHECK(digest({contain}, "r1") == digest({contain}, "r2"));
  CHECK(digest({isolate}, "r1") != digest({isolate}, "r2"));
  CHECK(digest({contain}, "") != digest({}, ""));
  CHECK(digest({}, "") != DesiredStateDigest("t", {}, ""));
  Policy described = contain;
  described.created_by = "olga";
  CHECK(digest({contain}, "") == digest({described}, ""));
  described.action = PolicyAction::kNotify;
  CHECK(digest({contain}, "") != digest({described}, ""));
  Policy leased = contain;
  leased.expires_at = kNow;
  CHECK(digest({contain}, "") != digest({leased}, ""));
  const std::string releases = digest({leased}, "");
  leased.on_expiry = OnExpiry::kHold;
  CHECK(releases != digest({leased}, ""));
  Policy holds = contain;
  holds.on_unreachable = OnUnreachable::kHold;
  CHECK(digest({contain}, "") != digest({holds}, ""));
  Policy scoped = contain;
  scoped.scope = Scope{ScopeKind::kCgroup, "/a"};
  const std::string of_cgroup = digest({scoped}, "");
  CHECK(of_cgroup != digest({contain}, ""));
  scoped.scope->name = "/b";
  CHECK(of_cgroup != digest({scoped}, ""));
  scoped.scope = Scope{ScopeKind::kContainer, "/a"};
  CHECK(of_cgroup != digest({scoped}, ""));
  IsolationRule rule;
  rule.id = "r";
  const std::string before = IsolationRulesDigest({rule});
  rule.description = "words";
  CHECK(IsolationRulesDigest({rule}) == before);
  rule.last_port = rule.first_port = 22;
  CHECK(IsolationRulesDigest({rule}) != before);
}

TEST_CASE("a scope is part of a policy's name, which stays unique") {
  const Scope unit{ScopeKind::kSystemdUnit, "nginx.service"};
  CHECK(ScopedPolicyName("network-isolation", std::nullopt, {}) == "network-isolation");
  CHECK(ScopedPolicyName("network-isolation", unit, {}) == "network-isolation-nginx.service");
  CHECK(ScopedPolicyName("p", Scope{ScopeKind::kCgroup, "/system.slice/A b"}, {}) == "p-system.slice-a-b");
  CHECK(ScopedPolicyName("p", Scope{ScopeKind::kContainer, "0123456789ab"}, {}) == "p-0123456789ab");
  Policy same = MakePolicy("1", PolicyTemplate::kNetworkIsolation);
  same.name = "network-isolation-nginx.service";
  same.scope = unit;
  CHECK(ScopedPolicyName("network-isolation", unit, {same}) == same.name);
  const Scope cgroup{ScopeKind::kCgroup, "/nginx.service"};
  const std::string other = ScopedPolicyName("network-isolation", cgroup, {same});
  CHECK(other.size() == same.name.size() + 9);
  CHECK(other != ScopedPolicyName("network-isolation", Scope{ScopeKind::kCgroup, "/nginx.service/"}, {same}));
}

TEST_CASE("the canonical encoding keeps values apart") {
  CHECK(CanonicalEncoding().Add("ab").Add("c").bytes() != CanonicalEncoding().Add("a").Add("bc").bytes());
  CHECK(CanonicalEncoding().Add("").bytes() != CanonicalEncoding().bytes());
  CHECK(CanonicalEncoding().Add(uint64_t{1}).bytes() == std::string("\0\0\0\0\0\0\0\x8\0\0\0\0\0\0\0\x1", 16));
}

std::vector<AuditRecord> Chain(int length) {
  std::vector<AuditRecord> records;
  std::string previous = AuditGenesisHash();
  for (int i = 1; i <= length; ++i) {
    AuditRecord record;
    record.sequence = static_cast<uint64_t>(i);
    record.time = kNow + absl::Seconds(i);
    record.actor = "olga";
    record.action = "sensor_contained";
    record.hash = previous = AuditRecordHash(previous, record);
    records.push_back(record);
  }
  return records;
}

AuditChainChecker Walk(const std::vector<AuditRecord>& records, uint64_t head, const std::string& head_hash) {
  AuditChainChecker checker;
  for (const AuditRecord& record : records) {
    if (!checker.Take(record)) return checker;
  }
  checker.Finish(head, head_hash);
  return checker;
}

TEST_CASE("an untouched audit chain is intact, also when empty") {
  const auto records = Chain(3);
  CHECK(Walk(records, 3, records[2].hash).first_bad_sequence() == 0);
  CHECK(Walk(records, 3, records[2].hash).records() == 3);
  CHECK(Walk({}, 0, AuditGenesisHash()).first_bad_sequence() == 0);
}

TEST_CASE("a changed, missing, cut off or rewritten audit record is found") {
  const auto good = Chain(3);
  auto records = good;
  records[1].actor = "mallory";
  CHECK(Walk(records, 3, good[2].hash).first_bad_sequence() == 2);
  records = good;
  records.erase(records.begin() + 1);
  CHECK(Walk(records, 3, good[2].hash).first_bad_sequence() == 2);
  records = good;
  records.pop_back();
  CHECK(Walk(records, 3, good[2].hash).first_bad_sequence() == 3);
  records = good;
  records[2].actor = "mallory";
  records[2].hash = AuditRecordHash(records[1].hash, records[2]);
  CHECK(Walk(records, 3, good[2].hash).first_bad_sequence() == 3);
}

TEST_CASE("a page token works only for the list and filter it was made for") {
  const std::string token = EncodePageToken("sensors/web", {"web-1"});
  CHECK(DecodePageToken("sensors/web", 1, token).value() == std::vector<std::string>{"web-1"});
  CHECK(DecodePageToken("sensors/web", 1, "").value().empty());
  CHECK(FieldOf(DecodePageToken("sensors/db", 1, token).status()) == "page_token");
  CHECK_CODE(DecodePageToken("sensors/web", 2, token), kInvalidArgument);
  std::string changed = token;
  changed.back() = changed.back() == 'A' ? 'B' : 'A';
  CHECK_CODE(DecodePageToken("sensors/web", 1, changed), kInvalidArgument);
  for (const char* const junk : {"x", "!!!!", "AAAAAAAAAAAAAAAA"})
    CHECK_CODE(DecodePageToken("s", 1, junk), kInvalidArgument);
  CHECK_CODE(DecodePageToken("s", 1, std::string(5000, 'A')), kInvalidArgument);
}

TEST_CASE("errors carry a code, a reason, a field, and text that cannot forge a line") {
  const absl::Status status = InvalidField("rule.address", "is wrong");
  CHECK_CODE(status, kInvalidArgument);
  CHECK(FieldOf(status) == "rule.address");
  CHECK(absl::StrContains(status.message(), "rule.address"));
  CHECK_FALSE(absl::StrContains(SensorNotFound("a\nb\x1b[31m").message(), "\n"));
  CHECK(SensorNotFound(std::string(5000, 'x')).message().size() < 300);
  CHECK(ReasonOf(absl::OkStatus()).empty());
  CHECK_CODE(StaleEtag("sensor", "web"), kAborted);
  CHECK_CODE(TokenExpired(kNow), kUnauthenticated);
  CHECK(ReasonOf(CertificateInvalid("x")) == "CERTIFICATE_INVALID");
}

TEST_CASE("only a process that is gone makes a kill succeed") {
  CHECK(StateAfter(CommandOutcome::kGone) == CommandState::kSucceeded);
  CHECK(StateAfter(CommandOutcome::kAlreadyGone) == CommandState::kSucceeded);
  for (const CommandOutcome outcome : {CommandOutcome::kNotTheSameProcess, CommandOutcome::kRefused,
                                       CommandOutcome::kSignalledStillThere, CommandOutcome::kUnknown}) {
    CHECK(StateAfter(outcome) == CommandState::kFailed);
  }
}

TEST_CASE("an order to the guard succeeds when it was carried out, and no result of another kind is taken for one") {
  CHECK(StateAfter(CommandOutcome::kDone) == CommandState::kSucceeded);
  CHECK(StateAfter(CommandOutcome::kFailed) == CommandState::kFailed);
  const auto stored = [](CommandKind kind, CommandOutcome outcome) {
    return ResultFor(kind, {outcome, "", ""}).outcome;
  };
  CHECK(stored(CommandKind::kKillProcess, CommandOutcome::kGone) == CommandOutcome::kGone);
  CHECK(stored(CommandKind::kKillProcess, CommandOutcome::kDone) == CommandOutcome::kUnknown);
  for (const CommandKind kind : {CommandKind::kKillTree, CommandKind::kKillFile, CommandKind::kKillScope}) {
    CHECK(stored(kind, CommandOutcome::kGone) == CommandOutcome::kGone);
    CHECK(stored(kind, CommandOutcome::kDone) == CommandOutcome::kUnknown);
    CHECK(IsGroupKill(kind));
  }
  CHECK_FALSE(IsGroupKill(CommandKind::kKillProcess));
  CHECK_FALSE(IsKill(CommandKind::kLowerGuard));
  CHECK(stored(CommandKind::kLowerGuard, CommandOutcome::kDone) == CommandOutcome::kDone);
  CHECK(stored(CommandKind::kLowerGuard, CommandOutcome::kGone) == CommandOutcome::kUnknown);
  // What a sensor answers that does not know the kind.
  CHECK(stored(CommandKind::kSetGuardCode, CommandOutcome::kRefused) == CommandOutcome::kRefused);
}

TEST_CASE("only an admin lowers a guard") {
  for (const char* method : {"/bulkhead.v1.SensorService/LowerGuard", "/bulkhead.v1.SensorService/CreateGuardCode"}) {
    CHECK_CODE(CheckPermission({"olga", "operator", false}, method), kPermissionDenied);
    CHECK_CODE(CheckPermission({"ada", "admin", false}, method), kOk);
  }
}

TEST_CASE("audit details are valid JSON whatever was typed") {
  JsonObject object;
  object.Add("reason", "say \"hi\"\\\n").Add("count", uint64_t{3}).AddBool("force", true).AddIfSet("empty", "");
  CHECK(object.ToString() == R"({"reason":"say \"hi\"\\\u000a","count":3,"force":true})");
  CHECK(JsonObject().ToString() == "{}");
}

}  // namespace
}  // namespace bulkhead::controlplane
