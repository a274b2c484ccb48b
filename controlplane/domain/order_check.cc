// Whether a sensor may be given an order now.
#include "controlplane/domain/order_check.h"

#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

Tier TierFor(const Sensor& sensor, PolicyTemplate wanted) {
  switch (wanted) {
    case PolicyTemplate::kNetworkContainment:
      return sensor.report.containment_tier;
    case PolicyTemplate::kNetworkIsolation:
      return sensor.report.isolation_tier;
    case PolicyTemplate::kBlockBinary:
      return sensor.report.block_binary_tier;
    case PolicyTemplate::kAllowList:
      // A sensor that tells the others and not this one is older than allow-lists.
      if (sensor.report.allow_list_tier == Tier::kUnknown && sensor.report.block_binary_tier != Tier::kUnknown) {
        return Tier::kNone;
      }
      return sensor.report.allow_list_tier;
  }
  return Tier::kNone;
}

}  // namespace

absl::Status CheckTakesOrders(const Sensor& sensor, bool allow_cloned) {
  if (sensor.trust == Trust::kRevoked) return SensorRevoked(sensor.name);
  if (!sensor.report.critical.empty()) return SensorCritical(sensor.name, sensor.report.critical);
  if (sensor.clone_suspected_at && !allow_cloned) return SensorCloned(sensor.name, sensor.clone_reason);
  return absl::OkStatus();
}

absl::Status CheckEtag(const Sensor& sensor, const OrderContext& context) {
  if (context.etag.empty() || context.etag == sensor.etag) return absl::OkStatus();
  return StaleEtag("sensor", sensor.name);
}

absl::Status CheckTier(const Sensor& sensor, PolicyTemplate wanted, bool allow_degraded) {
  const Tier tier = TierFor(sensor, wanted);
  if (tier == Tier::kNone) return MechanismMissing(sensor.name, LayerName(wanted), false);
  if (tier == Tier::kPartial && !allow_degraded) return MechanismMissing(sensor.name, LayerName(wanted), true);
  return absl::OkStatus();
}

absl::string_view LayerName(PolicyTemplate wanted) {
  switch (wanted) {
    case PolicyTemplate::kNetworkContainment:
      return "network containment";
    case PolicyTemplate::kNetworkIsolation:
      return "network isolation";
    case PolicyTemplate::kBlockBinary:
      return "blocking of binaries";
    case PolicyTemplate::kAllowList:
      return "allow-lists";
  }
  return "an unknown layer";
}

}  // namespace bulkhead::controlplane
