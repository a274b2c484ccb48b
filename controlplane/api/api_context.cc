// The list of resources, and what their readers share.
#include "controlplane/api/api_context.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {

absl::Status CheckMayBeUnsigned(const ApiContext& api, OrderKind kind) {
  const uint32_t required = api.order_keys == nullptr ? 0 : api.order_keys->Required(kind);
  return required == 0 ? absl::OkStatus() : SignatureRequired(OrderKindWord(kind), required);
}

void AddApiMethods(const ApiContext& api, MethodTable& table) {
  AddSensorReadMethods(api, table);
  AddSensorOrderMethods(api, table);
  AddTamperGuardMethods(api, table);
  AddSensorAdminMethods(api, table);
  AddPolicyMethods(api, table);
  AddIsolationRuleMethods(api, table);
  AddEnrollmentMethods(api, table);
  AddAccessMethods(api, table);
  AddCertificateMethods(api, table);
  AddAuditMethods(api, table);
  AddRolloutMethods(api, table);
  AddEventMethods(api, table);
  AddOrderApprovalMethods(api, table);
}

absl::StatusOr<std::string> SensorIdOf(const ApiContext& api, const std::string& sensor) {
  if (sensor.empty()) return std::string();
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  std::string id = sensor;
  if (IsUuid(sensor)) return id;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Sensor found, tx.GetSensor(sensor, /*lock=*/false));
    id = found.id;
    return absl::OkStatus();
  }));
  return id;
}

}  // namespace bulkhead::controlplane
