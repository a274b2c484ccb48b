// SensorService: list and get sensors, get a command.
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::ListSensorsResponse> ListSensors(const ApiContext& api, const v1::ListSensorsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  RETURN_IF_ERROR(ValidateText("name_prefix", request.name_prefix(), /*limit=*/63));
  ASSIGN_OR_RETURN(const LabelSelector selector, ParseLabelSelector("label_selector", request.label_selector()));
  Page<Sensor> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListSensors(request.name_prefix(), selector, request.label_selector(), page_size,
                                          request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListSensorsResponse response;
  const absl::Time now = api.clock->Now();
  for (const Sensor& sensor : page.items) *response.add_sensors() = ToProto(sensor, api.heartbeat_interval, now);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::GetSensorResponse> GetSensor(const ApiContext& api, const v1::GetSensorRequest& request) {
  RETURN_IF_ERROR(ValidateSensorReference("sensor", request.sensor()));
  v1::GetSensorResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(request.sensor(), /*lock=*/false));
    *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::GetCommandResponse> GetCommand(const ApiContext& api, const v1::GetCommandRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  v1::GetCommandResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Command command, tx.GetCommand(request.id()));
    *response.mutable_command() = ToProto(command);
    return absl::OkStatus();
  }));
  return response;
}

}  // namespace

void AddSensorReadMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListSensorsRequest, v1::ListSensorsResponse>(api, table, "/bulkhead.v1.SensorService/ListSensors",
                                                           ListSensors);
  AddRead<v1::GetSensorRequest, v1::GetSensorResponse>(api, table, "/bulkhead.v1.SensorService/GetSensor", GetSensor);
  AddRead<v1::GetCommandRequest, v1::GetCommandResponse>(api, table, "/bulkhead.v1.SensorService/GetCommand",
                                                         GetCommand);
}

}  // namespace bulkhead::controlplane
