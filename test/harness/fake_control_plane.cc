// A control plane of a few lines.
#include "harness/fake_control_plane.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace bulkhead::test {

FakeControlPlane::FakeControlPlane(const FakeCa* ca) : ca_(ca), identity_(ca->IssueServer()) {
  opening_.mutable_welcome()->set_heartbeat_interval_seconds(1);
  opening_.mutable_welcome()->set_replica_id("test");
  Start();
}

FakeControlPlane::~FakeControlPlane() {
  Stop();
}

void FakeControlPlane::Start() {
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  tls.pem_root_certs = ca_->trust_bundle_pem();
  tls.pem_key_cert_pairs.push_back({identity_.key_pem, identity_.chain_pem});
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::SslServerCredentials(tls), &port_);
  builder.RegisterService(static_cast<v1::SensorLinkService::Service*>(this));
  builder.RegisterService(static_cast<v1::EnrollmentService::Service*>(this));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) throw std::runtime_error("the fake control plane cannot listen");
}

void FakeControlPlane::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeControlPlane::RefuseStreams(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  refusal_ = status;
}

void FakeControlPlane::OpenWith(const v1::ConnectResponse& opening) {
  absl::MutexLock lock(&mutex_);
  opening_ = opening;
}

bool FakeControlPlane::Send(const v1::ConnectResponse& message) {
  absl::MutexLock lock(&mutex_);
  const auto is_live = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return live_ != nullptr; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&is_live), absl::Seconds(5))) return false;
  return live_->Write(message);
}

std::optional<v1::ConnectRequest> FakeControlPlane::Next(v1::ConnectRequest::MessageCase wanted,
                                                         absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  absl::MutexLock lock(&mutex_);
  const auto has_one = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !received_.empty(); };
  while (mutex_.AwaitWithDeadline(absl::Condition(&has_one), deadline)) {
    v1::ConnectRequest message = std::move(received_.front());
    received_.pop_front();
    if (message.message_case() == wanted) return message;
  }
  return std::nullopt;
}

std::string FakeControlPlane::last_client_certificate() const {
  absl::MutexLock lock(&mutex_);
  return client_certificate_;
}

int FakeControlPlane::streams_opened() const {
  absl::MutexLock lock(&mutex_);
  return streams_;
}

grpc::Status FakeControlPlane::Connect(grpc::ServerContext* context, Stream* stream) {
  v1::ConnectResponse opening;
  {
    absl::MutexLock lock(&mutex_);
    ++streams_;
    const auto certificates = context->auth_context()->FindPropertyValues("x509_pem_cert");
    client_certificate_ = certificates.empty() ? "" : std::string(certificates[0].data(), certificates[0].size());
    if (!refusal_.ok()) return refusal_;
    opening = opening_;
  }
  v1::ConnectRequest message;
  if (!stream->Read(&message)) return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no hello");
  {
    absl::MutexLock lock(&mutex_);
    received_.push_back(message);
    stream->Write(opening);
    live_ = stream;
  }
  while (stream->Read(&message)) {
    absl::MutexLock lock(&mutex_);
    received_.push_back(message);
  }
  absl::MutexLock lock(&mutex_);
  if (live_ == stream) live_ = nullptr;
  return grpc::Status::OK;
}

grpc::Status FakeControlPlane::Enroll(grpc::ServerContext*, const v1::EnrollRequest* request,
                                      v1::EnrollResponse* response) {
  if (request->token() != kToken) {
    return TypedRefusal(grpc::StatusCode::UNAUTHENTICATED, "the token is unknown", "TOKEN_UNKNOWN");
  }
  response->set_sensor_id(kSensorId);
  response->set_name(request->name());
  response->set_trust_bundle_pem(ca_->trust_bundle_pem());
  response->set_certificate_chain_pem(ca_->SignSensor(request->certificate_request(), kSensorId,
                                                      absl::Now() - absl::Minutes(1), absl::Now() + absl::Hours(24)));
  return grpc::Status::OK;
}

grpc::Status TypedRefusal(grpc::StatusCode code, const std::string& message, const std::string& reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("bulkhead");
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(info);
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace bulkhead::test
