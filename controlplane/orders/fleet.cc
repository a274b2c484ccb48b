// Orders about a sensor's membership: disable, enable, label, revoke, delete. They work on a revoked or critical sensor
// too, and leave what its host enforces as it is: the desired state, and so the generation, does not change.
#include "common/status_macros.h"
#include "controlplane/domain/labels.h"
#include "controlplane/domain/order_check.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

absl::StatusOr<Sensor> LockMember(Transaction& tx, const OrderContext& context, const std::string& reference) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", reference));
  ASSIGN_OR_RETURN(Sensor sensor, tx.GetSensor(reference, /*lock=*/true));
  RETURN_IF_ERROR(CheckEtag(sensor, context));
  return sensor;
}

// Names are reused after a deletion and ids are not, so the record keeps both.
JsonObject NameOf(const Sensor& sensor) {
  JsonObject details;
  details.Add("name", sensor.name);
  return details;
}

}  // namespace

absl::StatusOr<Sensor> SetDisabled(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                   bool disabled) {
  ASSIGN_OR_RETURN(const Sensor target, LockMember(tx, context, sensor));
  const bool unchanged = target.disabled == disabled;
  if (!unchanged) RETURN_IF_ERROR(tx.SetDisabled(target.id, disabled));
  RETURN_IF_ERROR(Audit(tx, context, disabled ? "sensor_disabled" : "sensor_enabled", SensorTarget(target.id),
                        unchanged, NameOf(target)));
  return tx.GetSensor(target.id, /*lock=*/false);
}

absl::StatusOr<Sensor> SetLabels(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                 const Labels& labels) {
  RETURN_IF_ERROR(ValidateLabels("labels", labels));
  ASSIGN_OR_RETURN(const Sensor target, LockMember(tx, context, sensor));
  const bool unchanged = target.labels == labels;
  if (!unchanged) RETURN_IF_ERROR(tx.SetLabels(target.id, labels));
  JsonObject details = NameOf(target);
  details.Add("labels", LabelsText(labels)).Add("labels_before", LabelsText(target.labels));
  RETURN_IF_ERROR(Audit(tx, context, "sensor_labelled", SensorTarget(target.id), unchanged, details));
  return tx.GetSensor(target.id, /*lock=*/false);
}

absl::StatusOr<Sensor> RevokeSensor(Transaction& tx, const OrderContext& context, const std::string& sensor) {
  ASSIGN_OR_RETURN(const Sensor target, LockMember(tx, context, sensor));
  const bool unchanged = target.trust == Trust::kRevoked;
  if (!unchanged) {
    RETURN_IF_ERROR(tx.RevokeCertificates(target.id));
    RETURN_IF_ERROR(tx.SetTrust(target.id, Trust::kRevoked));
  }
  RETURN_IF_ERROR(Audit(tx, context, "sensor_revoked", SensorTarget(target.id), unchanged, NameOf(target)));
  return tx.GetSensor(target.id, /*lock=*/false);
}

absl::Status DeleteSensor(Transaction& tx, const OrderContext& context, const std::string& sensor) {
  ASSIGN_OR_RETURN(const Sensor target, LockMember(tx, context, sensor));
  RETURN_IF_ERROR(tx.DeleteSensor(target.id));
  return Audit(tx, context, "sensor_deleted", SensorTarget(target.id), false, NameOf(target));
}

}  // namespace bulkhead::controlplane::orders
