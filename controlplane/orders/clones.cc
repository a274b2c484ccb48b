// Identities that two hosts share: when that is suspected, and when the suspicion is taken back.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/order_check.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

// A run of the sensor program that came back after another was seen is still there, beside that other. Once is what a
// virtual machine does that is set back to a snapshot of its memory; two hosts take turns for ever.
constexpr int kReturnsOfClone = 2;
// A sensor that could not finish its renewal shows the certificate before once or twice, and learns that it is over.
constexpr int kSupersededShownByClone = 4;

std::string ReasonOf(const CloneSign& sign) {
  if (sign.instance_returns >= kReturnsOfClone) {
    return absl::StrCat("two runs of the sensor program take turns (", sign.instance_returns, " times within a day)");
  }
  return absl::StrCat("a certificate that was renewed long since is still shown (", sign.superseded_shown,
                      " times): a copy of the identity, or a host that was restored from a backup");
}

}  // namespace

absl::StatusOr<int> SuspectClones(Store& store) {
  ASSIGN_OR_RETURN(const std::vector<CloneSign> signs, store.GetCloneSigns(kReturnsOfClone, kSupersededShownByClone));
  int suspected = 0;
  for (const CloneSign& sign : signs) {
    bool marked = false;
    RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
      const absl::StatusOr<Sensor> sensor = tx.GetSensor(sign.sensor_id, /*lock=*/true);
      if (absl::IsNotFound(sensor.status())) return absl::OkStatus();
      RETURN_IF_ERROR(sensor.status());
      ASSIGN_OR_RETURN(marked, tx.SetCloneSuspicion(sensor->id, ReasonOf(sign)));
      if (!marked) return absl::OkStatus();
      OrderContext context;
      context.actor = kSystemActor;
      JsonObject details;
      details.Add("name", sensor->name).Add("why", ReasonOf(sign));
      return Audit(tx, context, "sensor_clone_suspected", SensorTarget(sensor->id), false, details);
    }));
    if (marked) ++suspected;
  }
  return suspected;
}

absl::StatusOr<Sensor> ClearCloneSuspicion(Transaction& tx, const OrderContext& context, const std::string& sensor) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  ASSIGN_OR_RETURN(const Sensor target, tx.GetSensor(sensor, /*lock=*/true));
  RETURN_IF_ERROR(CheckEtag(target, context));
  const bool unchanged = !target.clone_suspected_at.has_value();
  if (!unchanged) RETURN_IF_ERROR(tx.ClearCloneSuspicion(target.id));
  JsonObject details;
  details.Add("name", target.name).AddIfSet("suspected_because", target.clone_reason);
  RETURN_IF_ERROR(Audit(tx, context, "sensor_clone_cleared", SensorTarget(target.id), unchanged, details));
  return tx.GetSensor(target.id, /*lock=*/false);
}

}  // namespace bulkhead::controlplane::orders
