// A sensor that does exactly what a test tells it: the far end of the stream.
#pragma once

#include <memory>
#include <string>

#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {

// One stream. Not thread safe.
class TestSensor {
 public:
  TestSensor(const ControlPlane& plane, const ClientIdentity& identity, absl::Duration limit = absl::Seconds(30))
      : TestSensor(plane.Connect(identity), limit) {}
  explicit TestSensor(const std::shared_ptr<grpc::Channel>& channel, absl::Duration limit = absl::Seconds(30))
      : stub_(v1::SensorLinkService::NewStub(channel)),
        context_(Context(limit)),
        stream_(stub_->Connect(context_.get())) {}
  ~TestSensor() {
    if (!finished_) {
      context_->TryCancel();
      Finish();
    }
  }

  bool Send(const v1::ConnectRequest& request) { return stream_->Write(request); }

  // Observed state of a kernel that has this generation and digest.
  static v1::ObservedState Observed(uint64_t generation = 0, const std::string& digest = "") {
    v1::ObservedState observed;
    observed.mutable_receipt()->set_generation(generation);
    observed.mutable_receipt()->set_digest(digest);
    return observed;
  }
  // Of the sensor's run, for its events; empty: an older sensor. Set before the hello.
  std::string run_id;
  std::string boot_id = "6d4b9c1e-6f4e-4b0e-9a55-0c2f7a6d1f11";

  bool SendHello(const v1::ObservedState& observed = Observed(), const std::string& instance = "") {
    v1::ConnectRequest request;
    request.mutable_hello()->set_run_id(run_id);
    v1::HostInfo& host = *request.mutable_hello()->mutable_host();
    host.set_hostname("web-1.example.org");
    host.set_boot_id(boot_id);
    host.set_kernel_release("6.1.0-test");
    host.set_instance_id(instance);
    v1::Capabilities& capabilities = *request.mutable_hello()->mutable_capabilities();
    capabilities.set_containment_tier(v1::TIER_FULL);
    capabilities.set_isolation_tier(v1::TIER_FULL);
    capabilities.set_block_binary_tier(v1::TIER_FULL);
    *request.mutable_hello()->mutable_observed() = observed;
    return Send(request);
  }
  bool SendHeartbeat(uint64_t sequence, const v1::ObservedState& observed) {
    v1::ConnectRequest request;
    request.mutable_heartbeat()->set_sequence(sequence);
    *request.mutable_heartbeat()->mutable_observed() = observed;
    return Send(request);
  }

  // The next message; one that is not set when the stream has ended.
  v1::ConnectResponse Next() {
    v1::ConnectResponse response;
    if (!stream_->Read(&response)) response.Clear();
    return response;
  }
  // Says hello and reads Welcome and the first desired state.
  v1::DesiredState Open(const std::string& instance = "") {
    SendHello(Observed(), instance);
    REQUIRE(Next().has_welcome());
    const v1::ConnectResponse response = Next();
    REQUIRE(response.heartbeat_response().has_desired_state());
    return response.heartbeat_response().desired_state();
  }
  void SendNoMore() { stream_->WritesDone(); }
  grpc::Status Finish() {
    finished_ = true;
    return stream_->Finish();
  }

 private:
  std::unique_ptr<v1::SensorLinkService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ConnectRequest, v1::ConnectResponse>> stream_;
  bool finished_ = false;
};

}  // namespace bulkhead::controlplane::test
