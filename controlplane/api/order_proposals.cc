// OrderApprovalService: signed orders are submitted, approved, rejected, looked at.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/uuid.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/signed_order.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

v1::OrderProposal ShownProposal(const OrderProposal& proposal) {
  v1::OrderProposal proto;
  // Both were serialized by this program.
  proto.ParseFromString(proposal.results);
  proto.mutable_order()->ParseFromString(proposal.signed_order);
  proto.set_id(proposal.id);
  proto.set_state(static_cast<v1::ProposalState>(proposal.state));
  proto.set_signatures_required(proposal.signatures_required);
  for (const OrderApproval& approval : proposal.approvals) {
    v1::OrderApproval* added = proto.add_approvals();
    added->set_operator_(approval.operator_name);
    added->set_key_id(approval.key_id);
    *added->mutable_time() = ToProto(approval.time);
  }
  proto.set_created_by(proposal.created_by);
  *proto.mutable_created_at() = ToProto(proposal.created_at);
  *proto.mutable_expires_at() = ToProto(proposal.expires_at);
  proto.set_reason(proposal.reason);
  proto.set_ended_by(proposal.ended_by);
  if (proposal.ended_at) *proto.mutable_ended_at() = ToProto(*proposal.ended_at);
  proto.set_allow_degraded(proposal.allow_degraded);
  return proto;
}

const char* Word(ProposalState state) {
  switch (state) {
    case ProposalState::kPending:
      return "pending";
    case ProposalState::kOrdered:
      return "ordered";
    case ProposalState::kRejected:
      return "rejected";
    case ProposalState::kExpired:
      return "expired";
  }
  return "unknown";
}

absl::Status Audit(Transaction& tx, const OrderContext& context, const char* action, const OrderProposal& proposal,
                   const v1::OrderStatement& statement) {
  JsonObject details;
  details.Add("order", OrderKindWord(KindOf(statement))).Add("sensors", uint64_t(statement.sensor_ids_size()));
  details.Add("statement_sha256", ToHex(proposal.statement_sha256));
  details.Add("signatures", uint64_t{proposal.approvals.size()});
  details.Add("signatures_required", uint64_t{proposal.signatures_required});
  return orders::Audit(tx, context, action, absl::StrCat("proposal/", proposal.id), false, details);
}

// Carries the order out once enough operators have signed it.
absl::Status OrderIfComplete(const ApiContext& api, Transaction& tx, OrderContext context,
                             const v1::OrderStatement& statement, const v1::SignedOrder& order,
                             OrderProposal* proposal) {
  proposal->signed_order = order.SerializeAsString();
  if (SignersOf(api, order) < proposal->signatures_required) return tx.UpdateProposal(*proposal);
  if (context.reason.empty()) context.reason = proposal->reason;
  v1::OrderProposal results;
  RETURN_IF_ERROR(GiveSignedOrder(api, tx, context, proposal->allow_degraded, order, statement, &results));
  proposal->state = ProposalState::kOrdered;
  proposal->ended_by = context.actor;
  proposal->results = results.SerializeAsString();
  RETURN_IF_ERROR(tx.UpdateProposal(*proposal));
  return Audit(tx, context, "proposal_ordered", *proposal, statement);
}

absl::StatusOr<v1::SubmitOrderResponse> Submit(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                               const v1::SubmitOrderRequest& request) {
  const absl::Time now = api.clock->Now();
  ASSIGN_OR_RETURN(const v1::OrderStatement statement, ReadStatement(request.order(), now));
  RETURN_IF_ERROR(CheckRole(tx, context, statement));
  RETURN_IF_ERROR(CheckSignatures(api, request.order()));
  OrderProposal proposal;
  proposal.id = NewUuid();
  proposal.statement_sha256 = Sha256(request.order().statement());
  proposal.signed_order = request.order().SerializeAsString();
  for (const v1::OrderSignature& signature : request.order().signatures()) {
    proposal.approvals.push_back({context.actor, signature.key_id(), now});
  }
  ASSIGN_OR_RETURN(proposal.signatures_required, SignaturesRequired(api, tx, statement));
  proposal.allow_degraded = request.allow_degraded();
  proposal.reason = context.reason;
  proposal.created_by = context.actor;
  proposal.expires_at = FromProto(statement.expires_at());
  RETURN_IF_ERROR(tx.InsertProposal(proposal));
  RETURN_IF_ERROR(Audit(tx, context, "order_submitted", proposal, statement));
  RETURN_IF_ERROR(OrderIfComplete(api, tx, context, statement, request.order(), &proposal));
  ASSIGN_OR_RETURN(proposal, tx.GetProposal(proposal.id, /*lock=*/false));
  v1::SubmitOrderResponse response;
  *response.mutable_proposal() = ShownProposal(proposal);
  return response;
}

// The proposal, locked, when it can still be signed or rejected.
absl::StatusOr<OrderProposal> LockPending(Transaction& tx, const std::string& id) {
  RETURN_IF_ERROR(ValidateUuid("id", id));
  ASSIGN_OR_RETURN(OrderProposal proposal, tx.GetProposal(id, /*lock=*/true));
  if (proposal.state == ProposalState::kExpired) return OrderExpired(proposal.expires_at);
  if (proposal.state != ProposalState::kPending) return ProposalEnded(id, Word(proposal.state));
  return proposal;
}

absl::StatusOr<v1::ApproveOrderProposalResponse> Approve(const ApiContext& api, Transaction& tx,
                                                         const OrderContext& context,
                                                         const v1::ApproveOrderProposalRequest& request) {
  ASSIGN_OR_RETURN(OrderProposal proposal, LockPending(tx, request.id()));
  v1::SignedOrder order;
  if (!order.ParseFromString(proposal.signed_order)) return absl::InternalError("a stored signed order is unreadable");
  const absl::Time now = api.clock->Now();
  ASSIGN_OR_RETURN(const v1::OrderStatement statement, ReadStatement(order, now));
  RETURN_IF_ERROR(CheckRole(tx, context, statement));
  for (const OrderApproval& approval : proposal.approvals) {
    if (approval.operator_name == context.actor) return SameOperator(context.actor);
  }
  const uint32_t before = SignersOf(api, order);
  *order.add_signatures() = request.signature();
  RETURN_IF_ERROR(CheckSignatures(api, order));
  if (SignersOf(api, order) == before) return SameOperator("the owner of this key");
  proposal.approvals.push_back({context.actor, request.signature().key_id(), now});
  RETURN_IF_ERROR(Audit(tx, context, "proposal_approved", proposal, statement));
  RETURN_IF_ERROR(OrderIfComplete(api, tx, context, statement, order, &proposal));
  ASSIGN_OR_RETURN(proposal, tx.GetProposal(proposal.id, /*lock=*/false));
  v1::ApproveOrderProposalResponse response;
  *response.mutable_proposal() = ShownProposal(proposal);
  return response;
}

absl::StatusOr<v1::RejectOrderProposalResponse> Reject(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                       const v1::RejectOrderProposalRequest& request) {
  ASSIGN_OR_RETURN(OrderProposal proposal, LockPending(tx, request.id()));
  proposal.state = ProposalState::kRejected;
  proposal.ended_by = context.actor;
  RETURN_IF_ERROR(tx.UpdateProposal(proposal));
  RETURN_IF_ERROR(orders::Audit(tx, context, "proposal_rejected", absl::StrCat("proposal/", proposal.id), false, {}));
  ASSIGN_OR_RETURN(proposal, tx.GetProposal(proposal.id, /*lock=*/false));
  v1::RejectOrderProposalResponse response;
  *response.mutable_proposal() = ShownProposal(proposal);
  return response;
}

absl::StatusOr<v1::GetOrderProposalResponse> Get(const ApiContext& api, const v1::GetOrderProposalRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  v1::GetOrderProposalResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const OrderProposal proposal, tx.GetProposal(request.id(), /*lock=*/false));
    *response.mutable_proposal() = ShownProposal(proposal);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListOrderProposalsResponse> List(const ApiContext& api,
                                                    const v1::ListOrderProposalsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  std::optional<ProposalState> state;
  if (request.state() != v1::PROPOSAL_STATE_UNSPECIFIED) state = static_cast<ProposalState>(request.state());
  Page<OrderProposal> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListProposals(state, page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListOrderProposalsResponse response;
  for (const OrderProposal& proposal : page.items) *response.add_proposals() = ShownProposal(proposal);
  response.set_next_page_token(page.next_page_token);
  return response;
}

}  // namespace

void AddOrderApprovalMethods(const ApiContext& api, MethodTable& table) {
  const std::string service = "/bulkhead.v1.OrderApprovalService/";
  AddOrder<v1::SubmitOrderRequest, v1::SubmitOrderResponse>(api, table, service + "SubmitOrder", Submit);
  AddOrder<v1::ApproveOrderProposalRequest, v1::ApproveOrderProposalResponse>(
      api, table, service + "ApproveOrderProposal", Approve);
  AddOrder<v1::RejectOrderProposalRequest, v1::RejectOrderProposalResponse>(api, table, service + "RejectOrderProposal",
                                                                            Reject);
  AddRead<v1::GetOrderProposalRequest, v1::GetOrderProposalResponse>(api, table, service + "GetOrderProposal", Get);
  AddRead<v1::ListOrderProposalsRequest, v1::ListOrderProposalsResponse>(api, table, service + "ListOrderProposals",
                                                                         List);
}

}  // namespace bulkhead::controlplane
