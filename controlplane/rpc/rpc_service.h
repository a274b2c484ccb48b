// Serves one protobuf service from a method table: every call, whatever its shape, becomes an Exchange.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/rpc/call_observer.h"
#include "controlplane/rpc/gate.h"
#include "controlplane/rpc/method_table.h"
#include "controlplane/rpc/peer_limiter.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/impl/codegen/service_type.h"

namespace bulkhead::controlplane {

// Registered with grpc::ServerBuilder like a generated service, so reflection lists it. Messages stay bytes until the
// caller is admitted.
class RpcService final : public grpc::Service {
 public:
  // FailedPrecondition names the RPC of `service` that has no row in `table`. `table`, `gate`, `limiter` and `observer`
  // (null: nobody counts) outlive the service.
  static absl::StatusOr<std::unique_ptr<RpcService>> Create(const google::protobuf::ServiceDescriptor& service,
                                                            const MethodTable& table, const Gate& gate,
                                                            PeerLimiter& limiter, CallObserver* observer = nullptr);

  // "bulkhead.v1.SensorService".
  const std::string& name() const { return name_; }

 private:
  RpcService() = default;
  void AddRow(const std::string& path, const Method& method, const Gate& gate, PeerLimiter& limiter,
              CallObserver* observer);

  std::string name_;
  int rows_ = 0;
  std::vector<std::string> paths_;  // gRPC keeps pointers to these
};

}  // namespace bulkhead::controlplane
