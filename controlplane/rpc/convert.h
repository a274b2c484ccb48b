// Between the domain's values and the messages that both operators and sensors see. Nothing but conversion: no checks
// of meaning.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bulkhead/v1/command.pb.h"
#include "bulkhead/v1/policy.pb.h"
#include "bulkhead/v1/state.pb.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

google::protobuf::Timestamp ToProto(absl::Time time);
// A timestamp out of protobuf's range becomes the nearest one that is in it.
absl::Time FromProto(const google::protobuf::Timestamp& timestamp);

v1::EnforcementPolicy ToProto(const Policy& policy);
// InvalidArgument when the scope names no target; the name itself is not checked. `field` is its path in the request.
absl::StatusOr<Scope> FromProto(const v1::Scope& scope, absl::string_view field);
v1::IsolationRule ToProto(const IsolationRule& rule);
v1::Command ToProto(const Command& command);
v1::DesiredState ToProto(const DesiredState& state);

// InvalidArgument when the outcome is unspecified or unknown, or more processes are listed than may be.
absl::StatusOr<CommandResult> FromProto(const v1::KillResult& result);
absl::StatusOr<CommandResult> FromProto(const v1::KillGroupResult& result);
absl::StatusOr<CommandResult> FromProto(const v1::GuardResult& result);

// What a sensor reports. Host and capabilities come with Hello; the stream keeps them and gives them again with each
// heartbeat.
SensorReport ReportOf(const v1::ObservedState& observed, const v1::HostInfo& host,
                      const v1::Capabilities& capabilities);

}  // namespace bulkhead::controlplane
