// What a sensor reads from the bytes that operators signed.
#include "sensor/domain/signed_order.h"

#include <catch2/catch.hpp>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "harness/status_matchers.h"
#include "sensor/domain/order_authority.h"
#include "sensor/link/convert_in.h"
#include "sensor/link/state_codec.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";

v1::OrderStatement Statement() {
  v1::OrderStatement statement;
  statement.set_version(1);
  statement.add_sensor_ids(kSensor);
  statement.mutable_issued_at()->set_seconds(1800000000);
  statement.mutable_expires_at()->set_seconds(1800003600);
  statement.set_nonce(std::string(16, 'n'));
  statement.mutable_policy()->set_template_(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  statement.mutable_policy()->set_action(v1::POLICY_ACTION_DENY);
  return statement;
}

TEST_CASE("a statement says what the message of the same content says") {
  const absl::StatusOr<OrderStatement> read = OrderStatementFromProto(Statement().SerializeAsString());
  REQUIRE_OK(read.status());
  CHECK(read->sensor_ids == std::vector<std::string>{kSensor});
  CHECK(read->expires_at - read->issued_at == absl::Hours(1));
  CHECK(std::get<Policy>(read->order).policy_template == PolicyTemplate::kNetworkContainment);

  v1::OrderStatement lift = Statement();
  lift.mutable_lift()->set_template_(v1::POLICY_TEMPLATE_BLOCK_BINARY);
  lift.mutable_lift()->set_path("/usr/bin/nc");
  CHECK(std::get<LiftOrder>(OrderStatementFromProto(lift.SerializeAsString())->order).where.binary_path ==
        "/usr/bin/nc");
  v1::OrderStatement lower = Statement();
  lower.mutable_lower_guard()->mutable_duration()->set_seconds(60);
  CHECK(std::get<LowerGuard>(OrderStatementFromProto(lower.SerializeAsString())->order).duration == absl::Minutes(1));
}

TEST_CASE("a statement that is not understood whole is not understood at all") {
  const std::vector<std::pair<const char*, std::function<void(v1::OrderStatement&)>>> cases = {
      {"no version", [](v1::OrderStatement& s) { s.clear_version(); }},
      {"a later version", [](v1::OrderStatement& s) { s.set_version(2); }},
      {"nobody", [](v1::OrderStatement& s) { s.clear_sensor_ids(); }},
      {"not a UUID", [](v1::OrderStatement& s) { s.add_sensor_ids("*"); }},
      {"no time", [](v1::OrderStatement& s) { s.clear_issued_at(); }},
      {"no end", [](v1::OrderStatement& s) { s.clear_expires_at(); }},
      {"an end before the start", [](v1::OrderStatement& s) { s.mutable_expires_at()->set_seconds(1799999999); }},
      {"31 days", [](v1::OrderStatement& s) { s.mutable_expires_at()->set_seconds(1800000000 + 31 * 86400); }},
      {"no nonce", [](v1::OrderStatement& s) { s.clear_nonce(); }},
      {"no order", [](v1::OrderStatement& s) { s.clear_order(); }},
      {"an unknown template",
       [](v1::OrderStatement& s) { s.mutable_policy()->set_template_(static_cast<v1::PolicyTemplate>(99)); }},
      {"an unknown action",
       [](v1::OrderStatement& s) { s.mutable_policy()->set_action(static_cast<v1::PolicyAction>(99)); }},
      {"a lift of a block without a file",
       [](v1::OrderStatement& s) { s.mutable_lift()->set_template_(v1::POLICY_TEMPLATE_BLOCK_BINARY); }},
      {"pid 1", [](v1::OrderStatement& s) { s.mutable_kill_process()->set_pid(1); }},
      {"an unknown field",
       [](v1::OrderStatement& s) { s.GetReflection()->MutableUnknownFields(&s)->AddVarint(1000, 1); }},
      {"an unknown field inside", [](v1::OrderStatement& s) {
         v1::Scope* scope = s.mutable_policy()->mutable_scope();
         scope->set_cgroup("/a");
         scope->GetReflection()->MutableUnknownFields(scope)->AddVarint(1000, 1);
       }}};
  for (const auto& [name, change] : cases) {
    INFO(name);
    v1::OrderStatement statement = Statement();
    change(statement);
    CHECK_CODE(OrderStatementFromProto(statement.SerializeAsString()).status(), kInvalidArgument);
  }
  const std::string whole = Statement().SerializeAsString();
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO("the first " << length << " bytes");
    CHECK_CODE(OrderStatementFromProto(whole.substr(0, length)).status(), kInvalidArgument);
  }
}

TEST_CASE("the lease of a signed policy does not move with the control plane's clock") {
  v1::DesiredState state;
  state.set_sensor_id(kSensor);
  state.set_generation(1);
  state.set_digest(std::string(32, 'd'));
  state.set_contained(true);
  state.mutable_sent_at()->set_seconds(1000);  // of a control plane that lies about the time
  v1::EnforcementPolicy* policy = state.add_enforcement_policies();
  policy->set_id("p");
  policy->set_template_(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  policy->mutable_expires_at()->set_seconds(1800000000);
  policy->mutable_signed_order()->set_statement(Statement().SerializeAsString());
  const absl::StatusOr<DesiredState> read = DesiredStateFromProto(state, absl::FromUnixSeconds(1700000000));
  REQUIRE_OK(read.status());
  CHECK(read->policies[0].expires_at == absl::FromUnixSeconds(1800000000));
  REQUIRE(read->policies[0].signed_order != nullptr);
  CHECK(read->policies[0].signed_order->statement == Statement().SerializeAsString());
}

TEST_CASE("marks, and policies that are refused or kept, come back from the disk") {
  DesiredState state{kSensor, 7};
  state.digest[0] = 1;
  Policy refused{"r", "network-containment"};
  refused.refused = "not authorized: it is not signed";
  Policy kept{"k", "network-isolation", PolicyTemplate::kNetworkIsolation};
  kept.kept = "not authorized: no release";
  state.policies = {refused, kept};
  state.order_marks["containment host"] = absl::FromUnixMicros(1800000000123456);
  const absl::StatusOr<DesiredState> read = DecodeDesiredState(
      EncodeDesiredState(state, absl::FromUnixSeconds(1800000000)), absl::FromUnixSeconds(1800000001));
  REQUIRE_OK(read.status());
  CHECK(*read == state);
  CHECK(IsUnauthorized(read->policies[0]));
}

}  // namespace
}  // namespace bulkhead::sensor
