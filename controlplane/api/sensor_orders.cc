// SensorService: contain, release, isolate, kill processes, block a binary.
#include <optional>

#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

v1::Sensor Shown(const ApiContext& api, const Sensor& sensor) {
  return ToProto(sensor, api.heartbeat_interval, api.clock->Now());
}

template <typename Request>
absl::StatusOr<PolicyTerms> NetworkTermsOf(const ApiContext& api, const Request& request) {
  ASSIGN_OR_RETURN(PolicyTerms terms, TermsOf(request, PolicyAction::kDeny, api.clock->Now()));
  if (request.on_unreachable() == v1::ON_UNREACHABLE_HOLD) terms.on_unreachable = OnUnreachable::kHold;
  return terms;
}

absl::StatusOr<v1::ContainSensorResponse> Contain(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                  const v1::ContainSensorRequest& request) {
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
  std::optional<PolicyTemplate> only;
  if (request.only() == v1::POLICY_TEMPLATE_BLOCK_BINARY) {
    return InvalidField(
        "only", "must be NETWORK_CONTAINMENT, NETWORK_ISOLATION or unset; to unblock a binary delete its policy");
  }
  if (request.only() != v1::POLICY_TEMPLATE_UNSPECIFIED) only = static_cast<PolicyTemplate>(request.only());
  ASSIGN_OR_RETURN(const orders::Released released, orders::ReleaseSensor(tx, context, request.sensor(), only));
  v1::ReleaseSensorResponse response;
  *response.mutable_sensor() = Shown(api, released.sensor);
  response.set_already_released(released.unchanged);
  return response;
}

absl::StatusOr<v1::KillProcessResponse> Kill(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                             const v1::KillProcessRequest& request) {
  const absl::Time now = api.clock->Now();
  ASSIGN_OR_RETURN(const Command command,
                   orders::KillProcess(tx, context, request.sensor(), FromProto(request.process(), now),
                                       FromProto(request.ttl()), now));
  v1::KillProcessResponse response;
  *response.mutable_command() = ToProto(command);
  return response;
}

absl::StatusOr<orders::KillGroup> GroupOf(const v1::KillGroup& group, absl::Time now) {
  switch (group.target_case()) {
    case v1::KillGroup::kTree:
      return FromProto(group.tree(), now);
    case v1::KillGroup::kFile:
      return RunningFile{group.file().path(), group.file().sha256()};
    case v1::KillGroup::kScope:
      return FromProto(group.scope(), "group.scope");
    case v1::KillGroup::TARGET_NOT_SET:
      break;
  }
  return InvalidField("group", "must have a tree, a file or a scope");
}

absl::StatusOr<v1::KillProcessesResponse> KillGroup(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                    const v1::KillProcessesRequest& request) {
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
  orders::BinaryOrder order;
  order.path = request.binary().path();
  order.sha256 = request.binary().sha256();
  order.kill_running = request.binary().kill_running();
  order.force = request.force();
  ASSIGN_OR_RETURN(const PolicyTerms terms, TermsOf(request, PolicyAction::kSigkill, api.clock->Now()));
  ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered,
                   orders::BlockBinary(tx, context, request.sensor(), order, terms));
  v1::BlockBinaryResponse response;
  *response.mutable_policy() = ToProto(ordered.policy);
  *response.mutable_sensor() = Shown(api, ordered.sensor);
  response.set_already_blocked(ordered.unchanged);
  return response;
}

}  // namespace

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
}

}  // namespace bulkhead::controlplane
