// SensorService: contain, release, isolate, kill processes, block a binary, set an allow-list.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/rollout_order.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

v1::Sensor Shown(const ApiContext& api, const Sensor& sensor) {
  return ToProto(sensor, api.heartbeat_interval, api.clock->Now());
}

// Of a request that may name a scope.
template <typename Request>
absl::StatusOr<std::optional<Scope>> ScopeOf(const Request& request) {
  if (!request.has_scope()) return std::nullopt;
  ASSIGN_OR_RETURN(Scope scope, FromProto(request.scope(), "scope"));
  return std::optional<Scope>(std::move(scope));
}

template <typename Request>
absl::StatusOr<PolicyTerms> NetworkTermsOf(const ApiContext& api, const Request& request) {
  ASSIGN_OR_RETURN(PolicyTerms terms, TermsOf(request, PolicyAction::kDeny, api.clock->Now()));
  if (request.on_unreachable() == v1::ON_UNREACHABLE_HOLD) terms.on_unreachable = OnUnreachable::kHold;
  ASSIGN_OR_RETURN(terms.scope, ScopeOf(request));
  return terms;
}

absl::StatusOr<v1::ContainSensorResponse> Contain(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                  const v1::ContainSensorRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kContain));
  ASSIGN_OR_RETURN(const PolicyTerms terms, NetworkTermsOf(api, request));
  ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered, orders::ContainSensor(tx, context, request.sensor(), terms));
  v1::ContainSensorResponse response;
  *response.mutable_sensor() = Shown(api, ordered.sensor);
  *response.mutable_policy() = ToProto(ordered.policy);
  response.set_already_contained(ordered.unchanged);
  return response;
}

absl::StatusOr<v1::IsolateSensorResponse> Isolate(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                  const v1::IsolateSensorRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kIsolate));
  ASSIGN_OR_RETURN(const PolicyTerms terms, NetworkTermsOf(api, request));
  ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered, orders::IsolateSensor(tx, context, request.sensor(), terms));
  v1::IsolateSensorResponse response;
  *response.mutable_sensor() = Shown(api, ordered.sensor);
  *response.mutable_policy() = ToProto(ordered.policy);
  response.set_already_isolated(ordered.unchanged);
  return response;
}

absl::StatusOr<v1::ReleaseSensorResponse> Release(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                  const v1::ReleaseSensorRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kRelease));
  std::optional<PolicyTemplate> only;
  if (request.only() != v1::POLICY_TEMPLATE_UNSPECIFIED) only = static_cast<PolicyTemplate>(request.only());
  ASSIGN_OR_RETURN(const std::optional<Scope> scope, ScopeOf(request));
  ASSIGN_OR_RETURN(const orders::Released released, orders::ReleaseSensor(tx, context, request.sensor(), only, scope));
  v1::ReleaseSensorResponse response;
  *response.mutable_sensor() = Shown(api, released.sensor);
  response.set_already_released(released.unchanged);
  return response;
}

absl::StatusOr<v1::KillProcessResponse> Kill(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                             const v1::KillProcessRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kKill));
  const absl::Time now = api.clock->Now();
  ASSIGN_OR_RETURN(const Command command,
                   orders::KillProcess(tx, context, request.sensor(), FromProto(request.process(), now),
                                       FromProto(request.ttl()), now));
  v1::KillProcessResponse response;
  *response.mutable_command() = ToProto(command);
  return response;
}

absl::StatusOr<v1::KillProcessesResponse> KillGroup(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                    const v1::KillProcessesRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kKill));
  const absl::Time now = api.clock->Now();
  ASSIGN_OR_RETURN(const orders::KillGroup group, GroupOf(request.group(), now));
  ASSIGN_OR_RETURN(const Command command,
                   orders::KillProcesses(tx, context, request.sensor(), group, FromProto(request.ttl()), now));
  v1::KillProcessesResponse response;
  *response.mutable_command() = ToProto(command);
  return response;
}

absl::StatusOr<v1::BlockBinaryResponse> Block(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                              const v1::BlockBinaryRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kBlock));
  orders::BinaryOrder order;
  order.path = request.binary().path();
  order.sha256 = request.binary().sha256();
  order.kill_running = request.binary().kill_running();
  order.force = request.force();
  order.list_name = request.binary().list().name();
  for (const v1::BlockedBinary& binary : request.binary().list().binaries()) {
    order.list.push_back({binary.path(), binary.sha256()});
  }
  ASSIGN_OR_RETURN(const PolicyTerms terms, TermsOf(request, PolicyAction::kSigkill, api.clock->Now()));
  ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered,
                   orders::BlockBinary(tx, context, request.sensor(), order, terms));
  v1::BlockBinaryResponse response;
  *response.mutable_policy() = ToProto(ordered.policy);
  *response.mutable_sensor() = Shown(api, ordered.sensor);
  response.set_already_blocked(ordered.unchanged);
  return response;
}

// The order of a rollout to one sensor, by the handler of its own RPC; returns the generation to wait for.
template <typename Request, typename Handler>
absl::StatusOr<uint64_t> GiveTo(const std::string& sensor_id, const ApiContext& api, Transaction& tx,
                                const OrderContext& context, Request request, Handler handler) {
  request.set_sensor(sensor_id);
  ASSIGN_OR_RETURN(const auto response, handler(api, tx, context, request));
  return response.sensor().desired_generation();
}

absl::StatusOr<uint64_t> GiveRolloutOrder(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                          const v1::RolloutOrder& order, const std::string& sensor_id) {
  switch (order.order_case()) {
    case v1::RolloutOrder::kContain:
      return GiveTo(sensor_id, api, tx, context, order.contain(), Contain);
    case v1::RolloutOrder::kIsolate:
      return GiveTo(sensor_id, api, tx, context, order.isolate(), Isolate);
    case v1::RolloutOrder::kRelease:
      return GiveTo(sensor_id, api, tx, context, order.release(), Release);
    case v1::RolloutOrder::kBlockBinary:
      return GiveTo(sensor_id, api, tx, context, order.block_binary(), Block);
    case v1::RolloutOrder::ORDER_NOT_SET:
      break;
  }
  return absl::InternalError("a rollout without an order was stored");
}

absl::StatusOr<v1::SetAllowListResponse> SetList(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                 const v1::SetAllowListRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kAllowList));
  AllowList list;
  list.learn = request.allow_list().learn();
  for (const v1::AllowedBinary& binary : request.allow_list().binaries()) {
    list.binaries.push_back({binary.path(), binary.sha256()});
  }
  ASSIGN_OR_RETURN(PolicyTerms terms, TermsOf(request, PolicyAction::kDeny, api.clock->Now()));
  ASSIGN_OR_RETURN(terms.scope, ScopeOf(request));
  ASSIGN_OR_RETURN(
      const orders::PolicyOrdered ordered,
      orders::SetAllowList(tx, context, request.sensor(), std::move(list), terms, request.allow_list().kill_running()));
  v1::SetAllowListResponse response;
  *response.mutable_policy() = ToProto(ordered.policy);
  *response.mutable_sensor() = Shown(api, ordered.sensor);
  response.set_already_set(ordered.unchanged);
  return response;
}

}  // namespace

orders::RolloutOrderer RolloutOrdererFor(const ApiContext& api) {
  return [api](Transaction& tx, const OrderContext& context, const Rollout& rollout,
               const std::string& sensor_id) -> absl::StatusOr<uint64_t> {
    v1::RolloutOrder order;
    if (!order.ParseFromString(rollout.order)) return absl::InternalError("a rollout's stored order is unreadable");
    absl::StatusOr<uint64_t> generation = GiveRolloutOrder(api, tx, context, order, sensor_id);
    if (generation.ok() || FieldOf(generation.status()).empty()) return generation;
    const auto* kind = order.GetReflection()->GetOneofFieldDescriptor(order, order.GetDescriptor()->oneof_decl(0));
    return AtField(generation.status(), absl::StrCat("order.", kind->name(), ".", FieldOf(generation.status())));
  };
}

void AddSensorOrderMethods(const ApiContext& api, MethodTable& table) {
  AddOrder<v1::ContainSensorRequest, v1::ContainSensorResponse>(api, table, "/bulkhead.v1.SensorService/ContainSensor",
                                                                Contain);
  AddOrder<v1::ReleaseSensorRequest, v1::ReleaseSensorResponse>(api, table, "/bulkhead.v1.SensorService/ReleaseSensor",
                                                                Release);
  AddOrder<v1::IsolateSensorRequest, v1::IsolateSensorResponse>(api, table, "/bulkhead.v1.SensorService/IsolateSensor",
                                                                Isolate);
  AddOrder<v1::KillProcessRequest, v1::KillProcessResponse>(api, table, "/bulkhead.v1.SensorService/KillProcess", Kill);
  AddOrder<v1::KillProcessesRequest, v1::KillProcessesResponse>(api, table, "/bulkhead.v1.SensorService/KillProcesses",
                                                                KillGroup);
  AddOrder<v1::BlockBinaryRequest, v1::BlockBinaryResponse>(api, table, "/bulkhead.v1.SensorService/BlockBinary",
                                                            Block);
  AddOrder<v1::SetAllowListRequest, v1::SetAllowListResponse>(api, table, "/bulkhead.v1.SensorService/SetAllowList",
                                                              SetList);
}

}  // namespace bulkhead::controlplane
