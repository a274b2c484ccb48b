// An absl::Status as gRPC sends it, with details that a client can act on.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace bulkhead::controlplane {

// Code and message stay; the payloads of domain/errors.h become google.rpc.ErrorInfo (always there, domain "bulkhead";
// a status without a reason gets its code's name) and BadRequest; Unavailable and ResourceExhausted also get RetryInfo.
// Internal and Unknown keep their text to the log: the caller is told only that it is our fault.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The same refusal with google.rpc.RequestInfo added, by which the caller can name its call to whoever reads the log.
grpc::Status WithRequestId(const grpc::Status& status, const std::string& request_id);

// gRPC's word for a code: "OK", "NOT_FOUND".
std::string CodeName(grpc::StatusCode code);
// ErrorInfo.reason of a refusal; its code's name when it has none.
std::string RefusalReason(const grpc::Status& status);

}  // namespace bulkhead::controlplane
