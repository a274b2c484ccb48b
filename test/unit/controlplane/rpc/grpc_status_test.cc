// What a client is told when a call is refused.
#include "controlplane/rpc/grpc_status.h"

#include <catch2/catch.hpp>

#include "controlplane/domain/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bulkhead::controlplane {
namespace {

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  REQUIRE(details.ParseFromString(status.error_details()));
  return details;
}

// The detail of type T; the test fails when there is none.
template <typename T>
T Detail(const grpc::Status& status) {
  T wanted;
  const google::rpc::Status details = DetailsOf(status);
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&wanted)) return wanted;
  }
  FAIL("no " << wanted.GetTypeName());
  return wanted;
}

template <typename T>
bool Has(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  for (const auto& any : details.details()) {
    if (any.Is<T>()) return true;
  }
  return false;
}

TEST_CASE("OK stays OK") {
  CHECK(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST_CASE("a refusal carries its reason under our domain") {
  const grpc::Status status = ToGrpcStatus(SensorIdentityRevoked("4a5e"));
  CHECK(status.error_code() == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(Detail<google::rpc::ErrorInfo>(status).reason() == "SENSOR_REVOKED");
  CHECK(Detail<google::rpc::ErrorInfo>(status).domain() == "bulkhead");
  CHECK(DetailsOf(status).code() == 16);
  CHECK(DetailsOf(status).message() == status.error_message());
  CHECK_FALSE(Has<google::rpc::BadRequest>(status));
  CHECK_FALSE(Has<google::rpc::RetryInfo>(status));
}

TEST_CASE("a wrong field is named") {
  const grpc::Status status = ToGrpcStatus(InvalidField("rule.ports.first", "70000 is not a port; must be 1..65535"));
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  const auto bad = Detail<google::rpc::BadRequest>(status);
  REQUIRE(bad.field_violations_size() == 1);
  CHECK(bad.field_violations(0).field() == "rule.ports.first");
  CHECK_THAT(bad.field_violations(0).description(), Catch::Contains("70000"));
}

TEST_CASE("what may pass says when to try again") {
  CHECK(Detail<google::rpc::RetryInfo>(ToGrpcStatus(absl::UnavailableError("database"))).retry_delay().seconds() >= 1);
  CHECK(Detail<google::rpc::RetryInfo>(ToGrpcStatus(absl::ResourceExhaustedError("full"))).retry_delay().seconds() >=
        1);
}

TEST_CASE("a status without a reason gets its code's name") {
  CHECK(Detail<google::rpc::ErrorInfo>(ToGrpcStatus(absl::UnavailableError("x"))).reason() == "UNAVAILABLE");
}

TEST_CASE("internals are not shown to callers") {
  const grpc::Status status = ToGrpcStatus(absl::InternalError("relation \"sensors\" does not exist at /var/lib/x"));
  CHECK(status.error_code() == grpc::StatusCode::INTERNAL);
  CHECK_THAT(status.error_message(), !Catch::Contains("sensors"));
  CHECK_THAT(status.error_details(), !Catch::Contains("sensors"));
}

TEST_CASE("a message that would not fit a trailer is cut at a character") {
  std::string text(1023, 'x');
  for (int i = 0; i < 4000; ++i) text += "é";
  const grpc::Status status = ToGrpcStatus(InvalidField("reason", text));
  CHECK(status.error_message().size() < 1100);
  CHECK(status.error_details().size() < 4096);
  google::rpc::Status details;
  CHECK(details.ParseFromString(status.error_details()));
}

}  // namespace
}  // namespace bulkhead::controlplane
