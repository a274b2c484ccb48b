// Every RPC, found through the descriptors: bad bytes, unknown fields, ids that nothing has. What it answers must be
// among the codes that its proto documents, and every refusal must say why in words for programs.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bulkhead/v1/access_service.pb.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/certificate_service.pb.h"
#include "bulkhead/v1/event_service.pb.h"
#include "bulkhead/v1/order_approval_service.pb.h"
#include "bulkhead/v1/policy_service.pb.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;

constexpr char kNobody[] = "00000000-0000-4000-8000-00000000dead";

std::vector<const google::protobuf::FileDescriptor*> ServiceFiles() {
  return {v1::ListSensorsRequest::descriptor()->file(),
          v1::ListEnforcementPoliciesRequest::descriptor()->file(),
          v1::EnrollRequest::descriptor()->file(),
          v1::GetTrustBundleRequest::descriptor()->file(),
          v1::Role::descriptor()->file(),
          v1::ListAuditRecordsRequest::descriptor()->file(),
          v1::Hello::descriptor()->file(),
          v1::Rollout::descriptor()->file(),
          v1::StoredEvent::descriptor()->file(),
          v1::OrderProposal::descriptor()->file()};
}

std::vector<const MethodDescriptor*> EveryMethod() {
  std::vector<const MethodDescriptor*> methods;
  for (const auto* file : ServiceFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) methods.push_back(file->service(i)->method(j));
    }
  }
  return methods;
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// Sends `bytes` and reads to the end, whatever the RPC's shape.
grpc::Status CallBytes(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                       const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto context = Context(absl::Seconds(3));
  const auto call = stub.PrepareCall(context.get(), path, &queue);
  void* tag = nullptr;
  bool ok = false;
  const auto done = [&] { queue.Next(&tag, &ok); };
  call->StartCall(nullptr);
  done();
  const grpc::Slice slice(bytes);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  done();
  call->WritesDone(nullptr);
  done();
  do {
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    done();
  } while (ok);
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  return status;
}

// ---- What is documented ----

// Words of the comment lines above each "service" and "rpc" of the protos, by "Service" and "Service/Method".
std::map<std::string, std::set<std::string>> DocumentedWords() {
  std::map<std::string, std::set<std::string>> words;
  for (const auto* file : ServiceFiles()) {
    std::ifstream in(
        absl::StrCat(BULKHEAD_PROTOS, "/", std::vector<std::string>(absl::StrSplit(file->name(), '/')).back()));
    REQUIRE(in.is_open());
    std::set<std::string> comment;
    std::string service;
    for (std::string line; std::getline(in, line);) {
      const std::vector<std::string> parts = absl::StrSplit(line, absl::ByAnyChar(" ,.;:()`"), absl::SkipEmpty());
      if (!parts.empty() && parts[0] == "//") {
        comment.insert(parts.begin() + 1, parts.end());
        continue;
      }
      if (parts.size() > 1 && parts[0] == "service") words[service = parts[1]] = comment;
      if (parts.size() > 1 && parts[0] == "rpc") words[absl::StrCat(service, "/", parts[1])] = comment;
      comment.clear();
    }
  }
  return words;
}

// Codes that any call may end with; docs/grpc.md tells of them once.
const std::set<std::string>& EverywhereCodes() {
  static const std::set<std::string> codes = {"UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT",
                                              "UNAVAILABLE"};
  return codes;
}

struct Walk {
  std::map<std::string, std::set<std::string>> documented = DocumentedWords();

  // That a refusal is one of those that the RPC may give.
  void Check(const MethodDescriptor& method, const grpc::Status& status) const {
    INFO(PathOf(method) << " answered " << Show(status));
    if (status.ok()) return;
    const std::string code = absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
    const std::string& service = method.service()->name();
    const bool known = EverywhereCodes().contains(code) || documented.at(service).contains(code) ||
                       documented.at(absl::StrCat(service, "/", method.name())).contains(code);
    CHECK(known);
    google::rpc::Status details;
    REQUIRE(details.ParseFromString(status.error_details()));
    CHECK(details.code() == status.error_code());
    CHECK_FALSE(ReasonIn(status).empty());
    google::rpc::RequestInfo info;
    CHECK(std::any_of(details.details().begin(), details.details().end(),
                      [&](const auto& any) { return any.UnpackTo(&info) && !info.request_id().empty(); }));
  }
};

// A request in which every id and every name of a sensor is one that nothing has, and what is required besides is set.
void NameNobody(Message* message, int depth) {
  const Reflection& reflection = *message->GetReflection();
  const Descriptor& type = *message->GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const bool names = field.name() == "id" || field.name() == "sensor" || field.name() == "target";
    if (names && depth == 0 && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field.is_repeated()) {
      reflection.SetString(message, &field, field.name() == "target" ? absl::StrCat("sensor/", kNobody) : kNobody);
    }
    if (field.name() == "sensors" && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      reflection.AddString(message, &field, kNobody);
    }
  }
}

// What each RPC about one thing needs beside its id to be a good request.
void Complete(Message* message) {
  if (auto* kill = dynamic_cast<v1::KillProcessRequest*>(message)) kill->mutable_process()->set_pid(4242);
  if (auto* kill = dynamic_cast<v1::KillProcessesRequest*>(message))
    kill->mutable_group()->mutable_tree()->set_pid(4242);
  if (auto* block = dynamic_cast<v1::BlockBinaryRequest*>(message)) block->mutable_binary()->set_path("/tmp/x");
  if (auto* list = dynamic_cast<v1::SetAllowListRequest*>(message)) {
    list->mutable_scope()->set_systemd_unit("nginx.service");
    list->mutable_allow_list()->set_learn(true);
  }
}

const std::map<std::string, std::string>& ReasonsForNobody() {
  static const std::map<std::string, std::string> reasons = {
      {"GetCommand", "COMMAND_NOT_FOUND"},
      {"GetEnforcementPolicy", "POLICY_NOT_FOUND"},
      {"DeleteEnforcementPolicy", "POLICY_NOT_FOUND"},
      {"DeleteIsolationRule", "ISOLATION_RULE_NOT_FOUND"},
      {"RevokeEnrollmentToken", "TOKEN_NOT_FOUND"},
      {"ListEnrollmentTokenUses", "TOKEN_NOT_FOUND"},
      {"GetRollout", "ROLLOUT_NOT_FOUND"},
      {"WatchRollout", "ROLLOUT_NOT_FOUND"},
      {"CancelRollout", "ROLLOUT_NOT_FOUND"},
      {"ResumeRollout", "ROLLOUT_NOT_FOUND"},
      {"ListRolloutTargets", "ROLLOUT_NOT_FOUND"},
      {"GetOrderProposal", "PROPOSAL_NOT_FOUND"},
      {"ApproveOrderProposal", "PROPOSAL_NOT_FOUND"},
      {"RejectOrderProposal", "PROPOSAL_NOT_FOUND"},
  };
  return reasons;
}

bool IsForOperators(const MethodDescriptor& method) {
  return method.name() != "Enroll" && method.name() != "Connect";
}

TEST_CASE("every RPC refuses bytes that are no message, and fields that it does not know, by name") {
  const ControlPlane plane;
  const auto admin = plane.ConnectAs("admin");
  const Walk walk;
  int walked = 0;
  for (const MethodDescriptor* method : EveryMethod()) {
    if (!IsForOperators(*method)) continue;
    ++walked;
    INFO(PathOf(*method));
    const grpc::Status garbage = CallBytes(admin, PathOf(*method), "\xff\xff\xff\xff");
    CHECK_GRPC_CODE(garbage, INVALID_ARGUMENT);
    walk.Check(*method, garbage);
    // Field 15000, a varint of 1.
    const grpc::Status unknown = CallBytes(admin, PathOf(*method), std::string("\xc0\xa9\x07\x01", 4));
    CHECK_GRPC_CODE(unknown, INVALID_ARGUMENT);
    CHECK(FieldIn(unknown) == "#15000");
    CHECK(ReasonIn(unknown) == "INVALID_FIELD");
    walk.Check(*method, unknown);
  }
  CHECK(walked >= 56);
}

TEST_CASE("every RPC answers an empty request with a code that it documents") {
  const ControlPlane plane;
  const auto admin = plane.ConnectAs("admin");
  const auto viewer = plane.ConnectAs("viewer");
  const auto nobody = plane.Connect();
  const Walk walk;
  for (const MethodDescriptor* method : EveryMethod()) {
    // These wait for changes; bad requests to them are in the other cases.
    if (method->server_streaming()) continue;
    walk.Check(*method, CallBytes(admin, PathOf(*method), ""));
    walk.Check(*method, CallBytes(viewer, PathOf(*method), ""));
    walk.Check(*method, CallBytes(nobody, PathOf(*method), ""));
  }
}

// Records of a sensor are read by the id of one that is long deleted.
bool OutlivesItsSensor(const MethodDescriptor& method) {
  return method.name() == "ListAuditRecords" || method.service()->name() == "EventService";
}

TEST_CASE("every RPC about one thing answers NOT_FOUND, with a reason, when there is no such thing") {
  const ControlPlane plane;
  const auto admin = plane.ConnectAs("admin");
  const Walk walk;
  int walked = 0;
  for (const MethodDescriptor* method : EveryMethod()) {
    if (!IsForOperators(*method)) continue;
    const std::unique_ptr<Message> request(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->input_type())->New());
    NameNobody(request.get(), 0);
    if (request->ByteSizeLong() == 0 || OutlivesItsSensor(*method)) continue;
    Complete(request.get());
    ++walked;
    const grpc::Status status = CallBytes(admin, PathOf(*method), request->SerializeAsString());
    INFO(PathOf(*method) << " answered " << Show(status));
    CHECK_GRPC_CODE(status, NOT_FOUND);
    const auto reason = ReasonsForNobody().find(method->name());
    CHECK(ReasonIn(status) == (reason == ReasonsForNobody().end() ? "SENSOR_NOT_FOUND" : reason->second));
    walk.Check(*method, status);
  }
  CHECK(walked >= 25);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
