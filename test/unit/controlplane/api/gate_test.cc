// Nobody gets past the gate: every RPC of every service, found through the descriptors, with every kind of caller that
// it is not for.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "bulkhead/v1/access_service.pb.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/certificate_service.pb.h"
#include "bulkhead/v1/event_service.pb.h"
#include "bulkhead/v1/order_approval_service.pb.h"
#include "bulkhead/v1/policy_service.pb.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "controlplane/domain/roles.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/generic/generic_stub.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

// "/package.Service/Method" of everything in Bulkhead's proto files.
std::vector<std::string> EveryRpc() {
  std::vector<std::string> paths;
  for (const google::protobuf::Descriptor* any :
       {v1::ListSensorsRequest::descriptor(), v1::ListEnforcementPoliciesRequest::descriptor(),
        v1::EnrollRequest::descriptor(), v1::GetTrustBundleRequest::descriptor(), v1::Role::descriptor(),
        v1::ListAuditRecordsRequest::descriptor(), v1::Hello::descriptor(), v1::Rollout::descriptor(),
        v1::StoredEvent::descriptor(), v1::OrderProposal::descriptor()}) {
    for (int i = 0; i < any->file()->service_count(); ++i) {
      const auto* service = any->file()->service(i);
      for (int j = 0; j < service->method_count(); ++j)
        paths.push_back(absl::StrCat("/", service->full_name(), "/", service->method(j)->name()));
    }
  }
  return paths;
}

// Calls any RPC with an empty request, without its generated stub.
grpc::Status CallEmpty(const std::shared_ptr<grpc::Channel>& channel, const std::string& path) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto context = Context();
  const grpc::Slice nothing;
  const auto call = stub.PrepareUnaryCall(context.get(), path, grpc::ByteBuffer(&nothing, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

constexpr char kEnroll[] = "/bulkhead.v1.EnrollmentService/Enroll";
constexpr char kConnect[] = "/bulkhead.v1.SensorLinkService/Connect";

TEST_CASE("every RPC is refused without a certificate, but for Enroll") {
  const ControlPlane plane;
  const auto nobody = plane.Connect();
  const auto paths = EveryRpc();
  CHECK(paths.size() == 58);
  for (const std::string& path : paths) {
    INFO(path);
    const grpc::Status status = CallEmpty(nobody, path);
    if (path == kEnroll) {
      CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
      CHECK(FieldIn(status) == "token");
    } else {
      CHECK_GRPC_CODE(status, UNAUTHENTICATED);
      CHECK(ReasonIn(status) == "CERTIFICATE_REQUIRED");
    }
  }
}

TEST_CASE("every RPC is refused to a role that lacks its permission, and to a sensor") {
  const ControlPlane plane;
  const auto viewer = plane.ConnectAs("viewer");
  const auto oper = plane.ConnectAs("operator");
  const auto sensor = plane.Connect(plane.EnrollSensor("web-1"));
  for (const std::string& path : EveryRpc()) {
    if (path == kEnroll) continue;
    INFO(path);
    for (const auto& [role, channel] : {std::pair("viewer", viewer), std::pair("operator", oper)}) {
      if (RoleHas(role, PermissionFor(path))) continue;
      INFO(role);
      CHECK_GRPC_CODE(CallEmpty(channel, path), PERMISSION_DENIED);
    }
    if (path != kConnect) CHECK_GRPC_CODE(CallEmpty(sensor, path), PERMISSION_DENIED);
  }
}

TEST_CASE("a role with one permission may call what needs it, and nothing else") {
  const ControlPlane plane;
  for (const std::string& permission : KnownPermissions()) {
    const std::string role = absl::StrCat("only-", absl::StrReplaceAll(permission, {{":", "-"}}));
    REQUIRE_OK(plane.store().Run([&](Transaction& tx) {
      return tx.InsertRole({.name = role, .permissions = {permission}, .created_by = "test"});
    }));
    const auto channel = plane.ConnectAs(role);
    for (const std::string& path : EveryRpc()) {
      const bool allowed = PermissionFor(path) == permission;
      // A watch that is allowed does not end.
      if (path == kEnroll || (allowed && absl::StrContains(path, "/Watch"))) continue;
      const grpc::Status status = CallEmpty(channel, path);
      INFO(role << " calls " << path << ": " << Show(status));
      CHECK((status.error_code() != grpc::StatusCode::PERMISSION_DENIED) == allowed);
    }
  }
}

TEST_CASE("an RPC that a role may call is not refused for its role") {
  const ControlPlane plane;
  const auto viewer = plane.ConnectAs("viewer");
  CHECK_GRPC_CODE(CallEmpty(viewer, "/bulkhead.v1.SensorService/ListSensors"), OK);
  const auto oper = plane.ConnectAs("operator");
  const grpc::Status contain = CallEmpty(oper, "/bulkhead.v1.SensorService/ContainSensor");
  CHECK_GRPC_CODE(contain, INVALID_ARGUMENT);
  CHECK(FieldIn(contain) == "sensor");
}

TEST_CASE(
    "a certificate of another authority, one that is over, and an operator that is not registered are told apart") {
  const ControlPlane plane;
  const std::string path = "/bulkhead.v1.SensorService/ListSensors";
  const ControlPlane other;
  const grpc::Status foreign = CallEmpty(plane.Connect(other.MakeOperator("eve", "admin")), path);
  CHECK_GRPC_CODE(foreign, UNAUTHENTICATED);
  CHECK(ReasonIn(foreign) == "CERTIFICATE_INVALID");

  const auto old = plane.authority().IssueOperator("old", absl::Now() - absl::Hours(2), absl::Hours(1));
  REQUIRE_OK(old);
  const grpc::Status expired = CallEmpty(
      plane.Connect({.key_pem = old->key_pem, .chain_pem = old->certificate.chain_pem, .sensor_id = {}}), path);
  CHECK_GRPC_CODE(expired, UNAUTHENTICATED);
  CHECK(ReasonIn(expired) == "CERTIFICATE_EXPIRED");

  const auto stray = plane.authority().IssueOperator("stray", absl::Now(), absl::Hours(1));
  REQUIRE_OK(stray);
  const grpc::Status unknown = CallEmpty(
      plane.Connect({.key_pem = stray->key_pem, .chain_pem = stray->certificate.chain_pem, .sensor_id = {}}), path);
  CHECK_GRPC_CODE(unknown, UNAUTHENTICATED);
  CHECK(ReasonIn(unknown) == "OPERATOR_UNKNOWN");
}

// Sends one message (or none) on a stream to any RPC and returns the first answer's bytes; empty when there is none.
std::string Converse(const std::shared_ptr<grpc::Channel>& channel, const std::string& path, const std::string& request,
                     grpc::Status* status) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto context = Context();
  const auto call = stub.PrepareCall(context.get(), path, &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  if (!request.empty()) {
    const grpc::Slice slice(request);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    queue.Next(&tag, &ok);
  }
  call->WritesDone(nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  queue.Next(&tag, &ok);
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (ok && answer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  call->Finish(status, nullptr);
  queue.Next(&tag, &ok);
  return bytes;
}

TEST_CASE("a call without a request is refused") {
  const ControlPlane plane;
  grpc::Status status;
  Converse(plane.ConnectAs("viewer"), "/bulkhead.v1.SensorService/ListSensors", "", &status);
  CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
  CHECK(ReasonIn(status) == "INVALID_ARGUMENT");
}

TEST_CASE("reflection lists every service, and health answers, without a certificate") {
  ControlPlane plane;
  grpc::Status status;
  // ServerReflectionRequest.list_services (7) = "*".
  const std::string services =
      Converse(plane.Connect(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*", &status);
  for (const char* name : {"bulkhead.v1.SensorService", "bulkhead.v1.PolicyService", "bulkhead.v1.IsolationRuleService",
                           "bulkhead.v1.EnrollmentService", "bulkhead.v1.AuditService", "bulkhead.v1.SensorLinkService",
                           "bulkhead.v1.EventService", "bulkhead.v1.AccessService", "bulkhead.v1.CertificateService",
                           "bulkhead.v1.OrderApprovalService", "grpc.health.v1.Health"}) {
    CHECK_THAT(services, Catch::Contains(name));
  }
  // file_containing_symbol (4): the health service can be described too.
  const std::string symbol = "grpc.health.v1.Health";
  const std::string file =
      Converse(plane.Connect(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
               absl::StrCat("\x22", std::string(1, static_cast<char>(symbol.size())), symbol), &status);
  CHECK_THAT(file, Catch::Contains("health.proto"));
  // HealthCheckResponse.status (1) = SERVING (1).
  const auto nobody = plane.Connect();
  CHECK(Converse(nobody, "/grpc.health.v1.Health/Check", std::string("\x0a\x00", 2), &status) == "\x08\x01");
}

TEST_CASE("an RPC that does not exist is UNIMPLEMENTED") {
  const ControlPlane plane;
  CHECK_GRPC_CODE(CallEmpty(plane.Connect(), "/bulkhead.v1.SensorService/NoSuchThing"), UNIMPLEMENTED);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
