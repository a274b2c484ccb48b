// Roles while somebody watches: what an operator may is asked again for as long as the watch lasts.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "bulkhead/v1/event_service.grpc.pb.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;

  void MakeRole(const std::string& name, const std::string& permission) const {
    REQUIRE_OK(plane.store().Run([&](Transaction& tx) {
      return tx.InsertRole({.name = name, .permissions = {permission}, .created_by = "root"});
    }));
  }
  void GiveRole(const std::string& name, const std::string& role, bool disabled = false) const {
    REQUIRE_OK(plane.store().Run(
        [&](Transaction& tx) { return tx.UpdateOperator({.name = name, .role = role, .disabled = disabled}); }));
  }
};

// Reads to the end of a watch.
template <typename Response>
grpc::Status End(grpc::ClientReader<Response>& reader) {
  Response response;
  while (reader.Read(&response)) {
  }
  return reader.Finish();
}

TEST_CASE_METHOD(Fixture, "a watch of events needs events:read, and ends when the role does not have it any more") {
  MakeRole("listener", "events:read");
  MakeRole("reader", "sensors:read");
  const auto stub = v1::EventService::NewStub(plane.Connect(plane.MakeOperator("lena", "listener")));
  const auto context = Context();
  const auto reader = stub->WatchEvents(context.get(), v1::WatchEventsRequest());
  v1::WatchEventsResponse first;
  REQUIRE(reader->Read(&first));
  GiveRole("lena", "reader");
  const grpc::Status ended = End(*reader);
  CHECK_GRPC_CODE(ended, PERMISSION_DENIED);
  // Not for what another watch needs.
  CHECK(absl::StrContains(ended.error_message(), "events:read"));
}

TEST_CASE_METHOD(Fixture, "a watch of sensors ends when its operator is disabled") {
  plane.EnrollSensor("web-1");
  const auto stub = v1::SensorService::NewStub(plane.Connect(plane.MakeOperator("vera", "viewer")));
  const auto context = Context();
  const auto reader = stub->WatchSensors(context.get(), v1::WatchSensorsRequest());
  v1::WatchSensorsResponse first;
  REQUIRE(reader->Read(&first));
  GiveRole("vera", "viewer", /*disabled=*/true);
  const grpc::Status ended = End(*reader);
  CHECK_GRPC_CODE(ended, UNAUTHENTICATED);
  CHECK(ReasonIn(ended) == "OPERATOR_DISABLED");
}

}  // namespace
}  // namespace bulkhead::controlplane::test
