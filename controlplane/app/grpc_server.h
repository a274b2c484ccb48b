// gRPC with every limit set on purpose, fed by our own listener.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/app/listener.h"
#include "controlplane/rpc/rpc_service.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace bulkhead::controlplane {

// TLS 1.3 only. A client certificate is asked for and not judged in the handshake: a refusal there would reach the
// client as an anonymous "connection closed". Gate judges it for every call, with a typed answer.
class GrpcServer {
 public:
  struct Options {
    std::vector<std::string> listen;
    Admission::Limits admission;
    std::string key_path;
    std::string certificate_path;
    // Told of each connection at the door; see Listener.
    Listener::OnAdmission on_admission = [](bool) {};
  };

  // Listens at once. Reflection and the standard health service are there too; they show the schema and one bit, so
  // they ask for no certificate.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Create(const Options& options,
                                                            std::vector<std::unique_ptr<RpcService>> services);
  ~GrpcServer();

  // What the health service answers, for the server ("") and for each service by its name, and tells those that watch
  // it. NOT_SERVING until the first call.
  void SetServing(bool serving);

  // No new connections; calls in progress get `grace`, then they are cancelled. Returns when the last call is over.
  void Shutdown(absl::Duration grace);

  const std::vector<uint16_t>& ports() const { return listener_->ports(); }

 private:
  GrpcServer() = default;

  std::vector<std::unique_ptr<RpcService>> services_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace bulkhead::controlplane
