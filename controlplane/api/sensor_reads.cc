// SensorService: list and get sensors, get a command.
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/read_mask.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/health.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

// What the request filters by, beyond names and labels. Null: nothing.
absl::StatusOr<std::function<bool(const Sensor&)>> FilterOf(const ApiContext& api,
                                                            const v1::ListSensorsRequest& request) {
  std::set<Health> healths;
  for (int i = 0; i < request.health_size(); ++i) {
    if (request.health(i) == v1::HEALTH_UNSPECIFIED) {
      return InvalidField(absl::StrCat("health[", i, "]"), "must be a health; leave the list empty for all");
    }
    healths.insert(static_cast<Health>(request.health(i)));
  }
  std::set<Convergence> convergences;
  for (const int convergence : request.convergence()) convergences.insert(static_cast<Convergence>(convergence));
  const bool any = !healths.empty() || !convergences.empty() || request.has_is_contained() || request.has_is_isolated();
  if (!any) return nullptr;
  std::optional<bool> contained;
  std::optional<bool> isolated;
  if (request.has_is_contained()) contained = request.is_contained();
  if (request.has_is_isolated()) isolated = request.is_isolated();
  return [=, interval = api.heartbeat_interval, now = api.clock->Now()](const Sensor& sensor) {
    if (contained && *contained != (sensor.Find(PolicyTemplate::kNetworkContainment) != nullptr)) return false;
    if (isolated && *isolated != (sensor.Find(PolicyTemplate::kNetworkIsolation) != nullptr)) return false;
    if (healths.empty() && convergences.empty()) return true;
    const HealthReport report = AssessHealth(sensor, interval, now);
    return (healths.empty() || healths.contains(report.health)) &&
           (convergences.empty() || convergences.contains(report.convergence));
  };
}

// Everything that decides which sensors are in the list but their names: a page token is good for one such text.
std::string FilterText(const v1::ListSensorsRequest& request) {
  v1::ListSensorsRequest filter = request;
  filter.clear_page_size();
  filter.clear_page_token();
  filter.clear_name_prefix();
  filter.clear_read_mask();
  return SerializeDeterministically(filter);
}

absl::StatusOr<v1::ListSensorsResponse> ListSensors(const ApiContext& api, const v1::ListSensorsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  RETURN_IF_ERROR(ValidateText("name_prefix", request.name_prefix(), /*limit=*/63));
  SensorQuery query{.name_prefix = request.name_prefix(), .filter_text = FilterText(request)};
  ASSIGN_OR_RETURN(query.selector, ParseLabelSelector("label_selector", request.label_selector()));
  ASSIGN_OR_RETURN(query.keep, FilterOf(api, request));
  ASSIGN_OR_RETURN(const ReadMask mask, ReadMask::Parse(request.read_mask(), *v1::Sensor::descriptor()));
  query.parts = {
      .observed = mask.Wants("observed"), .host = mask.Wants("host"), .capabilities = mask.Wants("capabilities")};
  Page<Sensor> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListSensors(query, page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListSensorsResponse response;
  const absl::Time now = api.clock->Now();
  for (const Sensor& sensor : page.items) {
    v1::Sensor& listed = *response.add_sensors();
    listed = ToProto(sensor, api.heartbeat_interval, now);
    mask.Trim(&listed);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::GetSensorResponse> GetSensor(const ApiContext& api, const v1::GetSensorRequest& request) {
  RETURN_IF_ERROR(ValidateSensorReference("sensor", request.sensor()));
  ASSIGN_OR_RETURN(const ReadMask mask, ReadMask::Parse(request.read_mask(), *v1::Sensor::descriptor()));
  v1::GetSensorResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(request.sensor(), /*lock=*/false));
    *response.mutable_sensor() = ToProto(sensor, api.heartbeat_interval, api.clock->Now());
    return absl::OkStatus();
  }));
  mask.Trim(response.mutable_sensor());
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
