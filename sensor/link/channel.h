// How the sensor dials: mutual TLS to a pinned address under the configured name, keepalive, limits.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "sensor/domain/control_plane_link.h"

namespace bulkhead::sensor {

// A fresh channel to `endpoint` whose certificate must be valid for `name.host`. Without a key and chain (enrollment)
// only the server is authenticated. Nothing is dialled yet.
std::shared_ptr<grpc::Channel> MakeChannel(const HostPort& name, const ControlPlaneEndpoint& endpoint,
                                           const Credentials& credentials);

// A refusal as the loop sees it: the status, ErrorInfo.reason and RetryInfo.retry_delay.
LinkDown DownFromStatus(const grpc::Status& status);

}  // namespace bulkhead::sensor
