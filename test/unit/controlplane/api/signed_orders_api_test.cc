// Signed orders through the API: what is refused, what waits for a second operator, and what reaches the desired state.
#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/audit.grpc.pb.h"
#include "bulkhead/v1/order_approval_service.grpc.pb.h"
#include "bulkhead/v1/order_statement.pb.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/order_keys.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

using Stub = v1::OrderApprovalService::Stub;

// A control plane that knows the keys of alice and bob, and two operators who have them.
struct Fixture {
  OrderSigningKey alice_key = *OrderSigningKey::Generate();
  OrderSigningKey bob_key = *OrderSigningKey::Generate();
  bulkhead::test::TempDir dir;
  ControlPlane plane{[this](Options& options) { options.order_keys = WriteKeys(); }};
  std::string sensor_id = plane.EnrollSensor("web-1").sensor_id;
  std::shared_ptr<grpc::Channel> alice = plane.Connect(plane.MakeOperator("alice", "operator"));
  std::shared_ptr<grpc::Channel> bob = plane.Connect(plane.MakeOperator("bob", "operator"));
  std::unique_ptr<Stub> as_alice = v1::OrderApprovalService::NewStub(alice);
  std::unique_ptr<Stub> as_bob = v1::OrderApprovalService::NewStub(bob);

  std::string WriteKeys() const {
    const std::string path = dir / "order-keys";
    const auto line = [](const char* name, const OrderSigningKey& key) {
      return absl::StrCat("key ", name, " ", OrderPublicKeyText(key.public_key()), "\n");
    };
    REQUIRE(WriteFileAtomically(path,
                                absl::StrCat(line("alice", alice_key), line("bob", bob_key),
                                             "require contain,block,kill,lower-guard 1\nrequire isolate,release 2\n"
                                             "isolation-rules none\n"),
                                0600)
                .ok());
    return path;
  }

  v1::OrderStatement Statement(v1::PolicyTemplate policy_template) const {
    v1::OrderStatement statement;
    statement.set_version(1);
    statement.add_sensor_ids(sensor_id);
    const int64_t now = absl::ToUnixSeconds(absl::Now());
    statement.mutable_issued_at()->set_seconds(now);
    statement.mutable_expires_at()->set_seconds(now + 3600);
    statement.set_nonce(RandomBytes(16));
    statement.mutable_policy()->set_template_(policy_template);
    statement.mutable_policy()->set_action(v1::POLICY_ACTION_DENY);
    statement.mutable_policy()->set_on_unreachable(v1::ON_UNREACHABLE_ROLL_BACK);
    return statement;
  }
  static v1::OrderSignature Sign(const OrderSigningKey& key, const std::string& bytes) {
    const OrderSignature made = *key.Sign(bytes);
    v1::OrderSignature signature;
    signature.set_key_id(made.key_id);
    signature.set_signature(made.signature);
    return signature;
  }
  grpc::Status Submit(const v1::OrderStatement& statement, v1::OrderProposal* proposal) {
    v1::SubmitOrderRequest request;
    request.mutable_order()->set_statement(statement.SerializeAsString());
    *request.mutable_order()->add_signatures() = Sign(alice_key, request.order().statement());
    return Submit(request, proposal);
  }
  grpc::Status Submit(const v1::SubmitOrderRequest& request, v1::OrderProposal* proposal) {
    v1::SubmitOrderResponse response;
    const grpc::Status status = Call(*as_alice, &Stub::SubmitOrder, request, &response);
    *proposal = response.proposal();
    return status;
  }
  grpc::Status Approve(Stub& stub, const OrderSigningKey& key, const v1::OrderProposal& proposal,
                       v1::OrderProposal* approved) {
    v1::ApproveOrderProposalRequest request;
    request.set_id(proposal.id());
    *request.mutable_signature() = Sign(key, proposal.order().statement());
    v1::ApproveOrderProposalResponse response;
    const grpc::Status status = Call(stub, &Stub::ApproveOrderProposal, request, &response);
    *approved = response.proposal();
    return status;
  }
  DesiredState Desired() const {
    DesiredState state;
    REQUIRE(plane.store()
                .Run([&](Transaction& tx) -> absl::Status {
                  auto read = tx.GetDesiredState(sensor_id);
                  if (read.ok()) state = *read;
                  return read.status();
                })
                .ok());
    return state;
  }
};

TEST_CASE_METHOD(Fixture, "orders that need signatures are refused without, and the others are not") {
  const auto sensors = v1::SensorService::NewStub(alice);
  const auto check = [](const grpc::Status& status, const char* kind) {
    CHECK_GRPC_CODE(status, FAILED_PRECONDITION);
    CHECK(ReasonIn(status) == "SIGNATURE_REQUIRED");
    CHECK_THAT(status.error_message(), Catch::Matchers::Contains(kind));
  };
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  v1::ContainSensorResponse contained;
  check(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained), "kind contain");
  v1::IsolateSensorRequest isolate;
  isolate.set_sensor("web-1");
  v1::IsolateSensorResponse isolated;
  check(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated), "kind isolate");
  v1::ReleaseSensorRequest release;
  release.set_sensor("web-1");
  v1::ReleaseSensorResponse released;
  check(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released), "2 operators");
  v1::KillProcessRequest kill;
  kill.set_sensor("web-1");
  kill.mutable_process()->set_pid(4242);
  v1::KillProcessResponse killed;
  check(Call(*sensors, &v1::SensorService::Stub::KillProcess, kill, &killed), "kind kill");
  v1::CreateRolloutRequest rollout;
  rollout.mutable_order()->mutable_contain();
  rollout.set_all_sensors(true);
  v1::CreateRolloutResponse rolled;
  const auto rollouts = v1::RolloutService::NewStub(alice);
  check(Call(*rollouts, &v1::RolloutService::Stub::CreateRollout, rollout, &rolled), "kind contain");
  CHECK(Desired().policies.empty());

  v1::SetAllowListRequest list;  // needs none
  list.set_sensor("web-1");
  list.mutable_scope()->set_systemd_unit("nginx.service");
  list.mutable_allow_list()->add_binaries()->set_path("/usr/sbin/nginx");
  list.set_allow_degraded(true);
  v1::SetAllowListResponse set;
  CHECK(ReasonIn(Call(*sensors, &v1::SensorService::Stub::SetAllowList, list, &set)) != "SIGNATURE_REQUIRED");
}

TEST_CASE_METHOD(Fixture, "an order with all its signatures is given at once, and the sensor gets the signed bytes") {
  const v1::OrderStatement statement = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  v1::OrderProposal proposal;
  REQUIRE_GRPC_OK(Submit(statement, &proposal));
  CHECK(proposal.state() == v1::PROPOSAL_STATE_ORDERED);
  REQUIRE(proposal.results_size() == 1);
  CHECK(proposal.results(0).sensor_name() == "web-1");
  const DesiredState desired = Desired();
  REQUIRE(desired.policies.size() == 1);
  CHECK(desired.policies[0].id == proposal.results(0).policy_id());
  v1::SignedOrder stored;
  REQUIRE(stored.ParseFromString(desired.policies[0].signed_order));
  CHECK(stored.statement() == statement.SerializeAsString());

  // The statement is spent; a new one of the same content makes a new policy.
  const grpc::Status again = Submit(statement, &proposal);
  CHECK_GRPC_CODE(again, ALREADY_EXISTS);
  CHECK(ReasonIn(again) == "ORDER_ALREADY_SUBMITTED");
}

TEST_CASE_METHOD(Fixture, "an order that needs two operators waits for another one with another key") {
  v1::OrderProposal proposal, answer;
  REQUIRE_GRPC_OK(Submit(Statement(v1::POLICY_TEMPLATE_NETWORK_ISOLATION), &proposal));
  CHECK(proposal.state() == v1::PROPOSAL_STATE_PENDING);
  CHECK(proposal.signatures_required() == 2);
  CHECK(Desired().policies.empty());
  // The same operator, whatever key; another operator with the same key; a signature of other bytes.
  CHECK(ReasonIn(Approve(*as_alice, bob_key, proposal, &answer)) == "SAME_OPERATOR");
  CHECK_GRPC_CODE(Approve(*as_bob, alice_key, proposal, &answer), INVALID_ARGUMENT);
  v1::OrderProposal altered = proposal;
  altered.mutable_order()->mutable_statement()->append("x");
  CHECK_GRPC_CODE(Approve(*as_bob, bob_key, altered, &answer), INVALID_ARGUMENT);
  CHECK(Desired().policies.empty());

  // It outlives the control plane.
  plane.Restart();
  as_bob = v1::OrderApprovalService::NewStub(bob = plane.Connect(plane.MakeOperator("bob2", "operator")));
  REQUIRE_GRPC_OK(Approve(*as_bob, bob_key, proposal, &answer));
  CHECK(answer.state() == v1::PROPOSAL_STATE_ORDERED);
  CHECK(answer.approvals_size() == 2);
  CHECK(answer.ended_by() == "bob2");
  REQUIRE(Desired().policies.size() == 1);
  CHECK(ReasonIn(Approve(*as_bob, bob_key, proposal, &answer)) == "PROPOSAL_ENDED");
}

TEST_CASE_METHOD(Fixture, "a rejected order takes no more signatures") {
  v1::OrderProposal proposal, answer;
  REQUIRE_GRPC_OK(Submit(Statement(v1::POLICY_TEMPLATE_NETWORK_ISOLATION), &proposal));
  v1::RejectOrderProposalRequest reject;
  reject.set_id(proposal.id());
  v1::RejectOrderProposalResponse rejected;
  REQUIRE_GRPC_OK(Call(*as_bob, &Stub::RejectOrderProposal, reject, &rejected));
  CHECK(rejected.proposal().state() == v1::PROPOSAL_STATE_REJECTED);
  CHECK(ReasonIn(Approve(*as_bob, bob_key, proposal, &answer)) == "PROPOSAL_ENDED");
  v1::ListOrderProposalsRequest list;
  v1::ListOrderProposalsResponse listed;
  list.set_state(v1::PROPOSAL_STATE_PENDING);
  REQUIRE_GRPC_OK(Call(*as_bob, &Stub::ListOrderProposals, list, &listed));
  CHECK(listed.proposals().empty());
  list.set_state(v1::PROPOSAL_STATE_REJECTED);
  REQUIRE_GRPC_OK(Call(*as_bob, &Stub::ListOrderProposals, list, &listed));
  CHECK(listed.proposals_size() == 1);
}

TEST_CASE_METHOD(Fixture, "a signed release lifts, is kept for the sensor, and is taken also when nothing is there") {
  v1::OrderProposal proposal, answer;
  REQUIRE_GRPC_OK(Submit(Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT), &proposal));
  for (int i = 0; i < 2; ++i) {
    v1::OrderStatement release = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
    release.mutable_lift()->set_template_(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
    const uint64_t before = Desired().generation;
    REQUIRE_GRPC_OK(Submit(release, &proposal));
    REQUIRE_GRPC_OK(Approve(*as_bob, bob_key, proposal, &answer));
    const DesiredState desired = Desired();
    CHECK(desired.policies.empty());
    CHECK(desired.generation == before + 1);
    REQUIRE(desired.signed_releases.size() == 1);  // the last of the slot
    v1::SignedOrder stored;
    REQUIRE(stored.ParseFromString(desired.signed_releases[0]));
    CHECK(stored.statement() == release.SerializeAsString());
    CHECK(stored.signatures_size() == 2);
  }
}

TEST_CASE_METHOD(Fixture, "an order in place of another needs as many signatures as lifting it") {
  v1::OrderProposal proposal;
  REQUIRE_GRPC_OK(Submit(Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT), &proposal));
  v1::OrderStatement shadow = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  shadow.mutable_policy()->set_action(v1::POLICY_ACTION_NOTIFY);
  REQUIRE_GRPC_OK(Submit(shadow, &proposal));
  CHECK(proposal.state() == v1::PROPOSAL_STATE_PENDING);
  CHECK(proposal.signatures_required() == 2);
}

TEST_CASE_METHOD(Fixture, "what no sensor would take is refused with its field") {
  const std::vector<std::pair<const char*, std::function<void(v1::SubmitOrderRequest&, v1::OrderStatement&)>>> cases = {
      {"order.statement.version", [](auto&, auto& s) { s.set_version(2); }},
      {"order.statement.nonce", [](auto&, auto& s) { s.clear_nonce(); }},
      {"order.statement.order", [](auto&, auto& s) { s.clear_order(); }},
      {"order.statement.sensor_ids", [](auto&, auto& s) { s.set_sensor_ids(0, "web-1"); }},
      {"order.statement.sensor_ids", [](auto&, auto& s) { s.add_sensor_ids(s.sensor_ids(0)); }},
      {"order.statement.expires_at", [](auto&, auto& s) { s.mutable_expires_at()->set_seconds(1); }},
      {"order.statement.policy.action", [](auto&, auto& s) { s.mutable_policy()->clear_action(); }},
      {"order.statement.policy", [](auto&, auto& s) { s.mutable_policy()->clear_on_unreachable(); }},
      {"order.statement.policy", [](auto&, auto& s) { s.mutable_policy()->set_id("an id"); }},
      {"order.statement.boot_id", [](auto&, auto& s) { s.mutable_kill_process()->set_pid(4242); }}};
  for (const auto& [field, change] : cases) {
    v1::SubmitOrderRequest request;
    v1::OrderStatement statement = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
    change(request, statement);
    v1::OrderProposal proposal;
    const grpc::Status status = Submit(statement, &proposal);
    INFO(field << ": " << Show(status));
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK(FieldIn(status) == field);
  }
  v1::SubmitOrderRequest unsigned_order;
  unsigned_order.mutable_order()->set_statement(Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT).SerializeAsString());
  v1::OrderProposal proposal;
  CHECK(FieldIn(Submit(unsigned_order, &proposal)) == "order.signatures");
  *unsigned_order.mutable_order()->add_signatures() =
      Sign(*OrderSigningKey::Generate(), unsigned_order.order().statement());
  CHECK(FieldIn(Submit(unsigned_order, &proposal)) == "order.signatures");
  CHECK(Desired().policies.empty());

  v1::OrderStatement late = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  late.mutable_issued_at()->set_seconds(1000);
  late.mutable_expires_at()->set_seconds(2000);
  CHECK(ReasonIn(Submit(late, &proposal)) == "ORDER_EXPIRED");
}

TEST_CASE_METHOD(Fixture, "a signature does not replace a role") {
  v1::OrderStatement lower = Statement(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  lower.mutable_lower_guard()->mutable_duration()->set_seconds(60);
  v1::OrderProposal proposal;
  CHECK_GRPC_CODE(Submit(lower, &proposal), PERMISSION_DENIED);
  as_alice = v1::OrderApprovalService::NewStub(plane.Connect(plane.MakeOperator("root", "admin")));
  REQUIRE_GRPC_OK(Submit(lower, &proposal));
  CHECK_FALSE(proposal.results(0).command_id().empty());

  // A role of an admin's own counts by what it lists.
  REQUIRE_OK(plane.store().Run([](Transaction& tx) {
    return tx.InsertRole(
        {.name = "maintainer", .permissions = {"guard:lower", "sensors:contain"}, .created_by = "root"});
  }));
  as_alice = v1::OrderApprovalService::NewStub(plane.Connect(plane.MakeOperator("gus", "maintainer")));
  lower.set_nonce(RandomBytes(16));
  REQUIRE_GRPC_OK(Submit(lower, &proposal));
}

}  // namespace
}  // namespace bulkhead::controlplane::test
