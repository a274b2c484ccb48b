// Requests that are not what they should be, and the field that is blamed.
#include "controlplane/rpc/request_parser.h"

#include "bulkhead/v1/policy_service.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/domain/errors.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

// A length-delimited field as it stands on the wire.
std::string Field(int number, const std::string& value) {
  REQUIRE(value.size() < 128);
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(value.size()) + value;
}

TEST_CASE("a good request parses") {
  v1::BlockBinaryRequest sent;
  sent.set_sensor("web-1");
  sent.mutable_binary()->set_path("/usr/bin/nc");
  sent.set_action(v1::POLICY_ACTION_DENY);
  v1::BlockBinaryRequest got;
  REQUIRE_OK(ParseStrictly(sent.SerializeAsString(), &got));
  CHECK(got.binary().path() == "/usr/bin/nc");
}

TEST_CASE("text that is not UTF-8 is refused by name, at any depth") {
  v1::BlockBinaryRequest got;
  const absl::Status flat = ParseStrictly(Field(1, "web\xff"), &got);
  CHECK_CODE(flat, kInvalidArgument);
  CHECK(FieldOf(flat) == "sensor");
  const absl::Status nested = ParseStrictly(Field(1, "web") + Field(5, Field(1, "/bin/\xc0\xaf")), &got);
  CHECK_CODE(nested, kInvalidArgument);
  CHECK(FieldOf(nested) == "binary.path");
}

TEST_CASE("a NUL in text is refused by name") {
  v1::BlockBinaryRequest got;
  const absl::Status status = ParseStrictly(Field(5, Field(1, std::string("/bin/a\0b", 8))), &got);
  CHECK_CODE(status, kInvalidArgument);
  CHECK(FieldOf(status) == "binary.path");
}

TEST_CASE("a field that this version does not know is refused, for it may be a safeguard") {
  v1::ContainSensorRequest got;
  const std::string bytes = Field(1, "web") + Field(14, "only-if-idle");
  const absl::Status status = ParseStrictly(bytes, &got);
  CHECK_CODE(status, kInvalidArgument);
  CHECK(FieldOf(status) == "#14");
  // A sensor that is newer than the control plane must stay under control.
  CHECK(ParseLeniently(bytes, &got).ok());
}

TEST_CASE("an enum value that this version does not know is refused by name") {
  v1::CreateIsolationRuleRequest sent;
  sent.mutable_rule()->set_direction(static_cast<v1::Direction>(9));
  v1::CreateIsolationRuleRequest got;
  const absl::Status status = ParseStrictly(sent.SerializeAsString(), &got);
  CHECK_CODE(status, kInvalidArgument);
  CHECK(FieldOf(status) == "rule.direction");
}

TEST_CASE("bytes that are no message are refused") {
  v1::ContainSensorRequest got;
  CHECK_CODE(ParseStrictly("\x0a\x7f", &got), kInvalidArgument);
  CHECK_CODE(ParseLeniently("\xff\xff\xff", &got), kInvalidArgument);
}

TEST_CASE("serialization is the same for the same request") {
  v1::ContainSensorRequest a;
  a.set_sensor("web");
  a.set_reason("lateral movement");
  v1::ContainSensorRequest b;
  b.set_reason("lateral movement");
  b.set_sensor("web");
  CHECK(SerializeDeterministically(a) == SerializeDeterministically(b));
  b.set_allow_degraded(true);
  CHECK(SerializeDeterministically(a) != SerializeDeterministically(b));
}

}  // namespace
}  // namespace bulkhead::controlplane
