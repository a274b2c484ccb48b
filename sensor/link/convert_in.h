// Messages of the control plane to domain values. Everything that comes in is checked here; nothing is half-converted.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/order_statement.pb.h"
#include "bulkhead/v1/sensor_link.pb.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/domain/signed_order.h"

namespace bulkhead::sensor {

// Longest heartbeat interval that is accepted, in seconds.
inline constexpr uint32_t kLongestHeartbeatSeconds = 3600;

// InvalidArgument at `field`: not a time between 1970 and 9999.
absl::StatusOr<absl::Time> TimeFromProto(const google::protobuf::Timestamp& in, absl::string_view field);

// What operators signed. InvalidArgument also for a version, a field or a value that this sensor does not know: what it
// does not understand it does not take. Signatures are not looked at.
absl::StatusOr<OrderStatement> OrderStatementFromProto(const std::string& bytes);

// InvalidArgument names the field, what is wrong with it and what would be right.
// Ends of leases come out by the sensor's clock, which showed `received` when the state came; see CommandFromProto.
absl::StatusOr<DesiredState> DesiredStateFromProto(const v1::DesiredState& in, absl::Time received);

// Times come out by the sensor's clock, which showed `received` when the command came: they are moved by how far the
// control plane's clock was from it (Command.sent_at; unset: not at all). The time on the way makes them later, never
// earlier. InvalidArgument as above.
absl::StatusOr<Command> CommandFromProto(const v1::Command& in, absl::Time received);

// One message of the stream. A malformed desired state or command becomes a message that carries the error, so that it
// can be answered; any other malformed message is InvalidArgument and ends the stream. `address` fills LinkWelcome;
// `received` is the sensor's clock when the message came.
absl::StatusOr<LinkMessage> MessageFromProto(const v1::ConnectResponse& in, const std::string& address,
                                             absl::Time received);

}  // namespace bulkhead::sensor
