// What a sensor may say of itself, and what it is told apart by.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "bulkhead/v1/sensor_link.pb.h"

namespace bulkhead::controlplane {

// InvalidArgument names the field that is missing, malformed or too long.
absl::Status CheckHello(const v1::Hello& hello);
absl::Status CheckObserved(const v1::ObservedState& observed);

// The run of the sensor program. One that is older than instances is told apart by its boot at least.
std::string InstanceOf(const v1::HostInfo& host);

}  // namespace bulkhead::controlplane
