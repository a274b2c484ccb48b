// Desired and observed state as bytes and text: for the state directory, for `status`, and for a local policy file.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "sensor/domain/desired_state.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// A serialized bulkhead.v1.DesiredState; sent_at is `now`, so that what is left of a lease can be told later.
std::string EncodeDesiredState(const DesiredState& state, absl::Time now);

// The same checks as for a message from the control plane. A clock that went back since the state was stored does not
// make leases longer: they have left, at most, what they had then. DataLoss: not such a message; InvalidArgument names
// the field.
absl::StatusOr<DesiredState> DecodeDesiredState(absl::string_view bytes, absl::Time now);

// A local policy file: bulkhead.v1.DesiredState in protobuf's JSON form, unknown fields refused. What only a control
// plane can know may be left out: sensor_id becomes kLocalSensorId, generation 1, policy ids are numbered; digest,
// contained and isolated are always computed. InvalidArgument says what is wrong and where.
absl::StatusOr<DesiredState> LocalDesiredStateFromJson(const std::string& json);
inline constexpr char kLocalSensorId[] = "00000000-0000-0000-0000-000000000000";

// Protobuf's JSON form, indented.
std::string ObservedStateToJson(const ObservedState& observed);
std::string CapabilitiesToJson(const Capabilities& capabilities);

}  // namespace bulkhead::sensor
