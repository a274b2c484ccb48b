// Domain values to messages for the control plane.
#pragma once

#include "bulkhead/v1/sensor_link.pb.h"
#include "sensor/domain/control_plane_link.h"

namespace bulkhead::sensor {

v1::ConnectRequest HelloToProto(const HelloMessage& in);
v1::ConnectRequest MessageToProto(const OutgoingMessage& in);
v1::ObservedState ObservedStateToProto(const ObservedState& in);
v1::Capabilities CapabilitiesToProto(const Capabilities& in);
v1::DesiredState DesiredStateToProto(const DesiredState& in);

}  // namespace bulkhead::sensor
