// A control plane of a few lines: real mutual TLS on loopback, says what the test says, remembers what the sensor said.
#pragma once

#include <grpcpp/server.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "harness/fake_ca.h"

namespace bulkhead::test {

class FakeControlPlane : public v1::SensorLinkService::Service, public v1::EnrollmentService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ConnectResponse, v1::ConnectRequest>;

  // Listens on 127.0.0.1. `ca` outlives it.
  explicit FakeControlPlane(const FakeCa* ca);
  ~FakeControlPlane() override;

  int port() const { return port_; }

  // Cuts every stream and stops listening; Start listens on the same port again.
  void Stop();
  void Start();

  // Streams from now on are refused with this status; OK: accepted.
  void RefuseStreams(const grpc::Status& status);
  // What a stream is opened with instead of Welcome with a heartbeat interval of 1 s.
  void OpenWith(const v1::ConnectResponse& opening);

  // Writes to the live stream, waiting up to 5 s for one. False: there is none.
  bool Send(const v1::ConnectResponse& message);

  // The next message of this kind, others being dropped; nothing after `timeout`.
  std::optional<v1::ConnectRequest> Next(v1::ConnectRequest::MessageCase wanted,
                                         absl::Duration timeout = absl::Seconds(5));

  // PEM of the certificate that the last stream presented.
  std::string last_client_certificate() const;
  int streams_opened() const;

  grpc::Status Connect(grpc::ServerContext* context, Stream* stream) override;
  grpc::Status Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request,
                      v1::EnrollResponse* response) override;

  // The only token that Enroll takes, and the id it gives.
  static constexpr char kToken[] = "good-token";
  static constexpr char kSensorId[] = "11111111-2222-4333-8444-555555555555";

 private:
  const FakeCa* const ca_;
  const FakeKeyPair identity_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable absl::Mutex mutex_;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  v1::ConnectResponse opening_ ABSL_GUARDED_BY(mutex_);
  Stream* live_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::deque<v1::ConnectRequest> received_ ABSL_GUARDED_BY(mutex_);
  std::string client_certificate_ ABSL_GUARDED_BY(mutex_);
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A refusal with google.rpc.ErrorInfo, as the control plane gives it.
grpc::Status TypedRefusal(grpc::StatusCode code, const std::string& message, const std::string& reason);

}  // namespace bulkhead::test
