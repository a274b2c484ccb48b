// Every RPC that the control plane serves: who may call it and what answers it. One row an RPC; a service with a
// missing row is not served.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/status_macros.h"
#include "controlplane/rpc/gate.h"
#include "controlplane/rpc/request_parser.h"
#include "controlplane/rpc/stream_session.h"
#include "controlplane/rpc/worker_pool.h"

namespace bulkhead::controlplane {

// What the handler of a streaming RPC hears. Called from gRPC's threads: must not block. After OnEnded nothing more is
// called.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // One message; the handler calls StreamSession::RequestRead when it wants the next.
  virtual void OnMessage(std::string bytes) = 0;
  // The peer sends no more.
  virtual void OnPeerDone() = 0;
  // Everything that was queued has been written.
  virtual void OnDrained() = 0;
  // The call is over.
  virtual void OnEnded() = 0;
};

// Serialized request in, serialized response out. Runs on a worker, so it may block.
using UnaryHandler = std::function<absl::StatusOr<std::string>(const Caller& caller, const std::string& request)>;
// Makes the handler of one stream. Runs on a worker, so it may block.
using StreamFactory = std::function<absl::StatusOr<std::shared_ptr<StreamHandler>>(
    const Caller& caller, std::shared_ptr<StreamSession> session)>;

// One RPC: exactly one of `unary` and `stream` is set.
struct Method {
  Access access = Access::kOperator;
  UnaryHandler unary;
  StreamFactory stream;
  // Where its blocking work runs.
  WorkerPool* workers = nullptr;
};

// Filled at start, read-only afterwards.
class MethodTable {
 public:
  // `path` as on the wire: "/bulkhead.v1.SensorService/GetSensor".
  void Add(const std::string& path, Method method) { methods_[path] = std::move(method); }
  const Method* Find(const std::string& path) const {
    const auto found = methods_.find(path);
    return found == methods_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Method> methods_;
};

// Wraps a typed handler: strict parse in, serialize out.
template <typename Request, typename Response>
UnaryHandler Unary(std::function<absl::StatusOr<Response>(const Caller&, const Request&)> handler) {
  return [handler = std::move(handler)](const Caller& caller, const std::string& bytes) -> absl::StatusOr<std::string> {
    Request request;
    RETURN_IF_ERROR(ParseStrictly(bytes, &request));
    ASSIGN_OR_RETURN(const Response response, handler(caller, request));
    return response.SerializeAsString();
  };
}

}  // namespace bulkhead::controlplane
