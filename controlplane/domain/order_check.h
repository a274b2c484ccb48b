// Whether a sensor may be given an order now.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// SensorRevoked or SensorCritical; then no change of enforcement is accepted. SensorCloned unless `allow_cloned`: what
// is ordered reaches whoever shows the identity.
absl::Status CheckTakesOrders(const Sensor& sensor, bool allow_cloned = false);

// StaleEtag when the order carries an etag that is not the sensor's.
absl::Status CheckEtag(const Sensor& sensor, const OrderContext& context);

// MechanismMissing when the host cannot enforce what is ordered: NONE is always refused, PARTIAL unless
// `allow_degraded`. A tier that is not known yet (the sensor never connected) is accepted: the order waits for it, and
// the sensor refuses what it cannot honour.
absl::Status CheckTier(const Sensor& sensor, PolicyTemplate wanted, bool allow_degraded);

// "network containment", "network isolation" or "blocking of binaries".
absl::string_view LayerName(PolicyTemplate wanted);

}  // namespace bulkhead::controlplane
