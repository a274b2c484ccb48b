// SensorService: disable, enable, revoke, clear the suspicion of a clone, delete.
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::DisableSensorResponse> Disable(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                  const v1::DisableSensorRequest& request) {
  ASSIGN_OR_RETURN(const Sensor sensor, orders::SetDisabled(tx, context, request.sensor(), /*disabled=*/true));
  v1::DisableSensorResponse response;
  *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
  return response;
}

absl::StatusOr<v1::EnableSensorResponse> Enable(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                const v1::EnableSensorRequest& request) {
  ASSIGN_OR_RETURN(const Sensor sensor, orders::SetDisabled(tx, context, request.sensor(), /*disabled=*/false));
  v1::EnableSensorResponse response;
  *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
  return response;
}

// The live stream ends because the order notifies every replica, and the one that holds the stream looks again.
absl::StatusOr<v1::RevokeSensorResponse> Revoke(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                                const v1::RevokeSensorRequest& request) {
  ASSIGN_OR_RETURN(const Sensor sensor, orders::RevokeSensor(tx, context, request.sensor()));
  v1::RevokeSensorResponse response;
  *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
  return response;
}

absl::StatusOr<v1::ClearCloneSuspicionResponse> ClearClone(const ApiContext& api, Transaction& tx,
                                                           const OrderContext& context,
                                                           const v1::ClearCloneSuspicionRequest& request) {
  ASSIGN_OR_RETURN(const Sensor sensor, orders::ClearCloneSuspicion(tx, context, request.sensor()));
  v1::ClearCloneSuspicionResponse response;
  *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
  return response;
}

absl::StatusOr<v1::DeleteSensorResponse> Delete(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                const v1::DeleteSensorRequest& request) {
  RETURN_IF_ERROR(orders::DeleteSensor(tx, context, request.sensor()));
  return v1::DeleteSensorResponse();
}

absl::StatusOr<v1::SetSensorLabelsResponse> SetLabels(const ApiContext& api, Transaction& tx,
                                                      const OrderContext& context,
                                                      const v1::SetSensorLabelsRequest& request) {
  ASSIGN_OR_RETURN(const Sensor sensor, orders::SetLabels(tx, context, request.sensor(), LabelsOf(request.labels())));
  v1::SetSensorLabelsResponse response;
  *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
  return response;
}

}  // namespace

void AddSensorAdminMethods(const ApiContext& api, MethodTable& table) {
  AddOrder<v1::DisableSensorRequest, v1::DisableSensorResponse>(api, table, "/bulkhead.v1.SensorService/DisableSensor",
                                                                Disable);
  AddOrder<v1::EnableSensorRequest, v1::EnableSensorResponse>(api, table, "/bulkhead.v1.SensorService/EnableSensor",
                                                              Enable);
  AddOrder<v1::RevokeSensorRequest, v1::RevokeSensorResponse>(api, table, "/bulkhead.v1.SensorService/RevokeSensor",
                                                              Revoke);
  AddOrder<v1::ClearCloneSuspicionRequest, v1::ClearCloneSuspicionResponse>(
      api, table, "/bulkhead.v1.SensorService/ClearCloneSuspicion", ClearClone);
  AddOrder<v1::DeleteSensorRequest, v1::DeleteSensorResponse>(api, table, "/bulkhead.v1.SensorService/DeleteSensor",
                                                              Delete);
  AddOrder<v1::SetSensorLabelsRequest, v1::SetSensorLabelsResponse>(
      api, table, "/bulkhead.v1.SensorService/SetSensorLabels", SetLabels);
}

}  // namespace bulkhead::controlplane
