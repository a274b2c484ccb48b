// RolloutService: create, look at, cancel and resume; WatchRollout is the watch hub's.
#include <optional>

#include "absl/strings/str_cat.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/read_mask.h"
#include "controlplane/api/rollout_order.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane {
namespace {

// What belongs to one call must be empty inside a rollout's order: it would be ignored.
template <typename Request>
absl::Status CheckInner(const std::string& field, const Request& request) {
  for (const auto& [name, text] : {std::pair("sensor", request.sensor()), std::pair("reason", request.reason()),
                                   std::pair("request_id", request.request_id()), std::pair("etag", request.etag())}) {
    if (!text.empty()) return InvalidField(absl::StrCat(field, ".", name), "must be empty; the rollout has its own");
  }
  return absl::OkStatus();
}

OrderKind KindOf(const v1::RolloutOrder& order) {
  if (order.has_isolate()) return OrderKind::kIsolate;
  if (order.has_release()) return OrderKind::kRelease;
  return order.has_block_binary() ? OrderKind::kBlock : OrderKind::kContain;
}

absl::StatusOr<v1::CreateRolloutResponse> Create(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                 const v1::CreateRolloutRequest& request) {
  ASSIGN_OR_RETURN(Rollout wanted, RolloutWith(request.order()));
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, KindOf(request.order())));
  wanted.label_selector = request.label_selector();
  wanted.limits = {.max_in_flight = request.limits().max_in_flight(),
                   .max_per_hour = request.limits().max_per_hour(),
                   .max_failures = request.limits().max_failures(),
                   .enforce_within_seconds = request.limits().enforce_within_seconds()};
  ASSIGN_OR_RETURN(const Rollout rollout, orders::CreateRollout(tx, context, std::move(wanted), request.all_sensors(),
                                                                request.validate_only(), RolloutOrdererFor(api)));
  v1::CreateRolloutResponse response;
  *response.mutable_rollout() = ToProto(rollout);
  return response;
}

absl::StatusOr<v1::CancelRolloutResponse> Cancel(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                 const v1::CancelRolloutRequest& request) {
  ASSIGN_OR_RETURN(const Rollout rollout, orders::CancelRollout(tx, context, request.id()));
  v1::CancelRolloutResponse response;
  *response.mutable_rollout() = ToProto(rollout);
  return response;
}

absl::StatusOr<v1::ResumeRolloutResponse> Resume(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                 const v1::ResumeRolloutRequest& request) {
  ASSIGN_OR_RETURN(const Rollout rollout, orders::ResumeRollout(tx, context, request.id()));
  v1::ResumeRolloutResponse response;
  *response.mutable_rollout() = ToProto(rollout);
  return response;
}

absl::StatusOr<v1::GetRolloutResponse> Get(const ApiContext& api, const v1::GetRolloutRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  v1::GetRolloutResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Rollout rollout, tx.GetRollout(request.id(), /*lock=*/false));
    *response.mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListRolloutsResponse> List(const ApiContext& api, const v1::ListRolloutsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  ASSIGN_OR_RETURN(const ReadMask mask, ReadMask::Parse(request.read_mask(), *v1::Rollout::descriptor()));
  Page<Rollout> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListRollouts(page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListRolloutsResponse response;
  for (const Rollout& rollout : page.items) {
    v1::Rollout& listed = *response.add_rollouts();
    listed = ToProto(rollout);
    mask.Trim(&listed);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::ListRolloutTargetsResponse> ListTargets(const ApiContext& api,
                                                           const v1::ListRolloutTargetsRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  std::optional<RolloutTargetState> state;
  if (request.state() != v1::ROLLOUT_TARGET_STATE_UNSPECIFIED) state = static_cast<RolloutTargetState>(request.state());
  Page<RolloutTarget> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.GetRollout(request.id(), /*lock=*/false).status());
    ASSIGN_OR_RETURN(page, tx.ListRolloutTargets(request.id(), state, page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListRolloutTargetsResponse response;
  for (const RolloutTarget& target : page.items) *response.add_targets() = ToProto(target);
  response.set_next_page_token(page.next_page_token);
  return response;
}

}  // namespace

absl::StatusOr<Rollout> RolloutWith(const v1::RolloutOrder& order) {
  Rollout rollout;
  switch (order.order_case()) {
    case v1::RolloutOrder::kContain:
      RETURN_IF_ERROR(CheckInner("order.contain", order.contain()));
      rollout.kind = "contain";
      rollout.allow_degraded = order.contain().allow_degraded();
      break;
    case v1::RolloutOrder::kIsolate:
      RETURN_IF_ERROR(CheckInner("order.isolate", order.isolate()));
      rollout.kind = "isolate";
      rollout.allow_degraded = order.isolate().allow_degraded();
      break;
    case v1::RolloutOrder::kRelease:
      RETURN_IF_ERROR(CheckInner("order.release", order.release()));
      rollout.kind = "release";
      break;
    case v1::RolloutOrder::kBlockBinary:
      RETURN_IF_ERROR(CheckInner("order.block_binary", order.block_binary()));
      rollout.kind = "block-binary";
      rollout.allow_degraded = order.block_binary().allow_degraded();
      break;
    case v1::RolloutOrder::ORDER_NOT_SET:
      return InvalidField("order", "must hold contain, isolate, release or block_binary");
  }
  rollout.order = order.SerializeAsString();
  return rollout;
}

void AddRolloutMethods(const ApiContext& api, MethodTable& table) {
  AddOrder<v1::CreateRolloutRequest, v1::CreateRolloutResponse>(api, table, "/bulkhead.v1.RolloutService/CreateRollout",
                                                                Create);
  AddOrder<v1::CancelRolloutRequest, v1::CancelRolloutResponse>(api, table, "/bulkhead.v1.RolloutService/CancelRollout",
                                                                Cancel);
  AddOrder<v1::ResumeRolloutRequest, v1::ResumeRolloutResponse>(api, table, "/bulkhead.v1.RolloutService/ResumeRollout",
                                                                Resume);
  AddRead<v1::GetRolloutRequest, v1::GetRolloutResponse>(api, table, "/bulkhead.v1.RolloutService/GetRollout", Get);
  AddRead<v1::ListRolloutsRequest, v1::ListRolloutsResponse>(api, table, "/bulkhead.v1.RolloutService/ListRollouts",
                                                             List);
  AddRead<v1::ListRolloutTargetsRequest, v1::ListRolloutTargetsResponse>(
      api, table, "/bulkhead.v1.RolloutService/ListRolloutTargets", ListTargets);
}

}  // namespace bulkhead::controlplane
