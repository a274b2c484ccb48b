// A failed call as an operator should read it: what was wrong, which field, what to do.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace bulkhead::controlplane::cli {

// Where and as what a call was made; goes into the advice.
struct CallContext {
  std::string server;      // HOST:PORT
  std::string request_id;  // empty for a call that changes nothing
};

// Several lines, the first of which is the control plane's message with its machine-readable reason; then one line for
// each wrong field, what to do, and the request id with which the order can be repeated. Decodes google.rpc.Status from
// the trailing metadata. `status` must not be OK. The code is kept.
absl::Status DescribeCallError(const grpc::Status& status, const CallContext& context);

}  // namespace bulkhead::controlplane::cli
