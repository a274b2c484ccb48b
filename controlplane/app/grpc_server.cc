// The numbers, each with its reason.
#include "controlplane/app/grpc_server.h"

#include <cstdlib>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace bulkhead::controlplane {
namespace {

// An order for the largest block-list: 100 000 files, each with a digest, and 4 MiB of paths.
constexpr int kMaxMessageBytes = 10 << 20;
// A page of a thousand sensors with all they report.
constexpr int kMaxAnswerBytes = 64 << 20;
// One stream for a sensor; a client of operators may watch and order at once.
constexpr int kMaxConcurrentStreams = 32;
// 122 KB a sensor were measured: room for ten thousand.
constexpr size_t kMemoryQuotaBytes = size_t{2} << 30;
constexpr int kMaxThreads = 64;
constexpr int kHandshakeTimeoutMillis = 10'000;
// Half of what a sensor waits between pings; a sensor that freezes is found within 40 s.
constexpr int kKeepaliveMillis = 30'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// Clients ping every 20 s also when idle; gRPC's default of 5 minutes would cut them off for it.
constexpr int kLeastPingIntervalMillis = 10'000;
constexpr int kCertificateRefreshSeconds = 10;
// A connection without a call: someone who opened it and went, or never meant to call.
constexpr int kMaxIdleMillis = 300'000;

// gRPC has no setting for TLS 1.3 only. Its list of ciphers concerns TLS 1.2 alone (those of 1.3 are apart), and a
// suite that needs an RSA key cannot be agreed on with our ECDSA certificates: so no 1.2 handshake succeeds. Must be
// set before gRPC first uses TLS.
void AllowOnlyTls13() {
  setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", /*overwrite=*/1);
}

// gRPC writes a line of its own for every failed handshake, which anybody can bring about; they are for debugging only.
void LogFromGrpc(gpr_log_func_args* line) {
  LogDebug("grpc", {{"message", line->message}});
}

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const GrpcServer::Options& options) {
  const auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.key_path, options.certificate_path, kCertificateRefreshSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxAnswerBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("bulkhead").Resize(kMemoryQuotaBytes).SetMaxThreads(kMaxThreads));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxIdleMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingIntervalMillis);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Create(const Options& options,
                                                               std::vector<std::unique_ptr<RpcService>> services) {
  AllowOnlyTls13();
  gpr_set_log_function(LogFromGrpc);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Named here so that the linker keeps the descriptor: reflection describes the health service from it.
  grpc::health::v1::HealthCheckRequest::descriptor();

  std::unique_ptr<GrpcServer> made(new GrpcServer());
  ASSIGN_OR_RETURN(made->listener_, Listener::Open(options.listen, options.admission));
  made->services_ = std::move(services);
  grpc::ServerBuilder builder;
  SetLimits(builder);
  for (const auto& service : made->services_) builder.RegisterService(service.get());
  made->acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, MakeCredentials(options));
  made->server_ = builder.BuildAndStart();
  if (!made->server_) return absl::InternalError("gRPC did not start; run with --log-level=debug to see why");
  // A service that was never named is unknown to the health service.
  for (const auto& service : made->services_) {
    made->server_->GetHealthCheckService()->SetServingStatus(service->name(), false);
  }
  made->SetServing(false);
  made->listener_->Start(
      [acceptor = made->acceptor_.get()](UniqueFd connection) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
        parameters.listener_fd = -1;
        parameters.fd = connection.Release();
        acceptor->HandleNewConnection(&parameters);
      },
      options.on_admission);
  return made;
}

GrpcServer::~GrpcServer() {
  Shutdown(absl::ZeroDuration());
}

void GrpcServer::SetServing(bool serving) {
  if (server_) server_->GetHealthCheckService()->SetServingStatus(serving);
}

void GrpcServer::Shutdown(absl::Duration grace) {
  if (listener_) listener_->Stop();
  if (!server_) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  server_.reset();
}

}  // namespace bulkhead::controlplane
