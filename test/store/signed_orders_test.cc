// Signed orders in the database: they stay with what they order, and a statement is submitted once.
#include <algorithm>
#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

OrderContext Signed(const std::string& bytes, absl::Time until = absl::Now() + absl::Hours(1)) {
  OrderContext context = By("olga");
  context.signed_order = bytes;
  context.signed_until = until;
  return context;
}

absl::StatusOr<orders::PolicyOrdered> ContainSigned(Store& store, const std::string& bytes) {
  PolicyTerms terms;
  terms.signed_order = bytes;
  return Give(store, [&](Transaction& tx) { return orders::ContainSensor(tx, By("olga"), "web-1", terms); });
}

absl::StatusOr<Sensor> Lift(Store& store, const OrderContext& context, const PolicySlot& slot) {
  return Give(store, [&](Transaction& tx) { return orders::LiftSigned(tx, context, "web-1", slot); });
}

DesiredState Desired(Store& store, const std::string& sensor_id) {
  auto state = Give(store, [&](Transaction& tx) { return tx.GetDesiredState(sensor_id); });
  REQUIRE_OK(state);
  std::sort(state->signed_releases.begin(), state->signed_releases.end());
  return *state;
}

TEST_CASE("a policy keeps what was signed for it until something else is signed") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const auto first = ContainSigned(*store, "one");
  REQUIRE_OK(first);
  CHECK(Desired(*store, sensor.id).policies[0].signed_order == "one");
  CHECK(ContainSigned(*store, "")->unchanged);
  const auto second = ContainSigned(*store, "two");
  REQUIRE_OK(second);
  CHECK_FALSE(second->unchanged);
  CHECK(second->policy.id != first->policy.id);
  CHECK(Desired(*store, sensor.id).policies[0].signed_order == "two");
}

TEST_CASE("a signed release reaches the sensor until it expires, the last of each slot") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  REQUIRE_OK(ContainSigned(*store, "order"));
  const PolicySlot contained{PolicyTemplate::kNetworkContainment, std::nullopt, "", ""};
  PolicySlot unit = contained;
  unit.scope = Scope{ScopeKind::kSystemdUnit, "nginx.service"};
  REQUIRE_OK(Lift(*store, Signed("first"), unit));
  CHECK(Desired(*store, sensor.id).policies.size() == 1);  // another slot
  REQUIRE_OK(Lift(*store, Signed("second"), contained));
  CHECK(Desired(*store, sensor.id).policies.empty());
  REQUIRE_OK(Lift(*store, Signed("third"), contained));
  CHECK(Desired(*store, sensor.id).signed_releases == std::vector<std::string>{"first", "third"});
  REQUIRE_OK(Lift(*store, Signed("late", absl::Now() - absl::Seconds(1)), contained));
  CHECK(Desired(*store, sensor.id).signed_releases == std::vector<std::string>{"first"});
  const auto audit = store->ListAudit("sensor/" + sensor.id, 1, "");
  REQUIRE_OK(audit);
  CHECK(audit->items[0].action == "sensor_released");
  REQUIRE_OK(store->Run([&](Transaction& tx) { return orders::DeleteSensor(tx, By("ada"), "web-1"); }));
  CHECK(database.Value("SELECT count(*) FROM signed_releases") == "0");
}

TEST_CASE("what was signed for a command cannot be changed") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const auto command = Give(*store, [&](Transaction& tx) {
    ProcessIdentity process;
    process.pid = 4242;
    return orders::KillProcess(tx, Signed("kill"), "web-1", process, absl::Minutes(5), absl::Now());
  });
  REQUIRE_OK(command);
  CHECK(command->signed_order == "kill");
  CHECK(database.Refusal("UPDATE commands SET signed_order = 'other'") == "23514 commands_move_forward");
  CHECK(database.Refusal("UPDATE commands SET signed_order = NULL") == "23514 commands_move_forward");
}

TEST_CASE("a proposal comes back as it was stored, and expires by the database's clock") {
  const Database database;
  const auto store = database.Open();
  OrderProposal proposal;
  proposal.id = NewUuid();
  proposal.statement_sha256 = Sha256("statement");
  proposal.signed_order = "signed";
  proposal.approvals = {{"olga the first", "0123", absl::FromUnixMicros(1800000000123456)}};
  proposal.signatures_required = 2;
  proposal.allow_degraded = true;
  proposal.reason = "INC-42";
  proposal.created_by = "olga the first";
  proposal.expires_at = absl::Now() + absl::Hours(1);
  const auto insert = [&] { return store->Run([&](Transaction& tx) { return tx.InsertProposal(proposal); }); };
  REQUIRE_OK(insert());
  const std::string first = proposal.id;
  proposal.id = NewUuid();
  CHECK(ReasonOf(insert()) == "ORDER_ALREADY_SUBMITTED");
  const auto get = [&] { return *Give(*store, [&](Transaction& tx) { return tx.GetProposal(first, true); }); };
  OrderProposal read = get();
  CHECK(read.state == ProposalState::kPending);
  CHECK(read.approvals[0].operator_name == "olga the first");
  CHECK(read.approvals[0].time == absl::FromUnixMicros(1800000000123456));
  CHECK(read.signatures_required == 2);
  CHECK(read.allow_degraded);
  database.Execute("UPDATE order_proposals SET expires_at = now() - interval '1 second'");
  CHECK(get().state == ProposalState::kExpired);
  read.state = ProposalState::kRejected;
  read.ended_by = "ada";
  REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.UpdateProposal(read); }));
  CHECK(get().state == ProposalState::kRejected);
  CHECK(get().ended_at.has_value());
  const auto list = [&](std::optional<ProposalState> state) {
    return Give(*store, [&](Transaction& tx) { return tx.ListProposals(state, 10, ""); })->items.size();
  };
  CHECK(list(std::nullopt) == 1);
  CHECK(list(ProposalState::kPending) == 0);
  CHECK(ReasonOf(Give(*store, [&](Transaction& tx) { return tx.GetProposal(NewUuid(), false); }).status()) ==
        "PROPOSAL_NOT_FOUND");
}

}  // namespace
}  // namespace bulkhead::controlplane
