// The yardstick: a gRPC server that answers every message at once and does nothing else.
#include "bench/fleet/raw_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "bulkhead/v1/sensor_link.grpc.pb.h"

namespace bulkhead::bench {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

class Echo final : public grpc::ServerBidiReactor<v1::ConnectRequest, v1::ConnectResponse> {
 public:
  explicit Echo(int heartbeat_seconds) : heartbeat_seconds_(heartbeat_seconds) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_.Clear();
    if (request_.has_hello()) {
      response_.mutable_welcome()->set_heartbeat_interval_seconds(heartbeat_seconds_);
    } else {
      response_.mutable_heartbeat_response()->set_sequence(request_.heartbeat().sequence());
      response_.mutable_heartbeat_response()->set_unchanged(true);
    }
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  const int heartbeat_seconds_;
  v1::ConnectRequest request_;
  v1::ConnectResponse response_;
};

class Service final : public v1::SensorLinkService::CallbackService {
 public:
  explicit Service(int heartbeat_seconds) : heartbeat_seconds_(heartbeat_seconds) {}
  grpc::ServerBidiReactor<v1::ConnectRequest, v1::ConnectResponse>* Connect(grpc::CallbackServerContext*) override {
    return new Echo(heartbeat_seconds_);
  }

 private:
  const int heartbeat_seconds_;
};

}  // namespace

int RunRawServer(int port, const std::string& key_path, const std::string& certificate_path, int heartbeat_seconds) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  tls.pem_key_cert_pairs.push_back({ReadAll(key_path), ReadAll(certificate_path)});
  Service service(heartbeat_seconds);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::SslServerCredentials(tls));
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  int signal = 0;
  sigwait(&ends, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace bulkhead::bench
