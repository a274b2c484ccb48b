// Every field of an order: what is accepted, what is refused, and which field is blamed.
#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/match.h"
#include "controlplane/domain/dangerous_binaries.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/isolation_rule_input.h"
#include "controlplane/domain/policy_name.h"
#include "controlplane/domain/validate.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kUuid[] = "123e4567-e89b-42d3-a456-426614174000";

TEST_CASE("sensor names are short DNS-like words and never look like ids") {
  for (const char* const good : {"a", "web-1", "db.eu-west.example", "0", "a--b"})
    CHECK_CODE(ValidateSensorName("name", good), kOk);
  for (const char* const bad : {"", "-a", "a-", ".a", "A", "a_b", "a b", "ä", kUuid}) {
    CHECK_CODE(ValidateSensorName("name", bad), kInvalidArgument);
  }
  CHECK_CODE(ValidateSensorName("name", std::string(63, 'a')), kOk);
  CHECK_CODE(ValidateSensorName("name", std::string(64, 'a')), kInvalidArgument);
  CHECK_CODE(ValidateSensorName("name", absl::string_view("a\0b", 3)), kInvalidArgument);
  CHECK(FieldOf(ValidateSensorName("name", "")) == "name");
  CHECK_CODE(ValidateSensorReference("sensor", kUuid), kOk);
}

TEST_CASE("paths are absolute, normalized and whole") {
  for (const char* const good : {"/a", "/usr/bin/nc", "/opt/with space/x", "/...", "/a/.b", "/ä"}) {
    CHECK_CODE(ValidateBinaryPath("p", good), kOk);
  }
  for (const char* const bad : {"", "/", "a", "a/b", "//a", "/a//b", "/a/", "/./a", "/a/..", "/a/./b", "/\xff"}) {
    CHECK_CODE(ValidateBinaryPath("p", bad), kInvalidArgument);
  }
  CHECK(absl::StrContains(ValidateBinaryPath("p", absl::string_view("/a\0b", 4)).message(), "NUL"));
  CHECK_CODE(ValidateBinaryPath("p", "/" + std::string(4094, 'a')), kOk);
  CHECK_CODE(ValidateBinaryPath("p", "/" + std::string(4095, 'a')), kInvalidArgument);
}

TEST_CASE("scopes are named as a host names them, and the field to blame is the target's") {
  const auto check = [](ScopeKind kind, const std::string& name) { return ValidateScope("scope", Scope{kind, name}); };
  for (const char* const good : {"/a", "/system.slice/nginx.service"}) CHECK_CODE(check(ScopeKind::kCgroup, good), kOk);
  for (const char* const bad : {"", "/", "a", "/a/", "/a/../b"}) {
    CHECK(FieldOf(check(ScopeKind::kCgroup, bad)) == "scope.cgroup");
  }
  for (const char* const good : {"nginx.service", "getty@tty1.service", "user-1000.slice", "a\\x2d.scope"}) {
    CHECK_CODE(check(ScopeKind::kSystemdUnit, good), kOk);
  }
  for (const char* const bad : {"", "nginx", "nginx.socket", "a/b.service", "a b.service", "-.slice", ".service"}) {
    CHECK(FieldOf(check(ScopeKind::kSystemdUnit, bad)) == "scope.systemd_unit");
  }
  CHECK(FieldOf(check(ScopeKind::kSystemdUnit, std::string(248, 'a') + ".service")) == "scope.systemd_unit");
  CHECK_CODE(check(ScopeKind::kContainer, "0123456789ab"), kOk);
  CHECK_CODE(check(ScopeKind::kContainer, std::string(64, 'f')), kOk);
  for (const std::string& bad :
       {std::string(), std::string("0123456789a"), std::string("web"), std::string(12, 'A'), std::string(65, 'a')}) {
    CHECK(FieldOf(check(ScopeKind::kContainer, bad)) == "scope.container");
  }
}

TEST_CASE("pid 1 has an error of its own, and no other number outside of 2..4194304 passes") {
  CHECK(ReasonOf(ValidatePid("process.pid", 1)) == "PID_ONE");
  CHECK_CODE(ValidatePid("process.pid", 0), kInvalidArgument);
  CHECK_CODE(ValidatePid("process.pid", 2), kOk);
  CHECK_CODE(ValidatePid("process.pid", 4194304), kOk);
  CHECK_CODE(ValidatePid("process.pid", 4194305), kInvalidArgument);
}

TEST_CASE("a process's boot id and executable are checked when they are given") {
  ProcessIdentity process;
  process.pid = 42;
  CHECK_CODE(ValidateProcess("process", process), kOk);
  process.boot_id = "yesterday";
  CHECK(FieldOf(ValidateProcess("process", process)) == "process.boot_id");
  process.boot_id = kUuid;
  process.executable = "nc";
  CHECK(FieldOf(ValidateProcess("process", process)) == "process.executable");
  CHECK(FieldOf(ValidateProcess("group.tree", process)) == "group.tree.executable");
  const std::string digest(32, 'h');
  CHECK_CODE(ValidateRunningFile("group.file", {"/x", ""}), kOk);
  CHECK_CODE(ValidateRunningFile("group.file", {"", digest}), kOk);
  CHECK_CODE(ValidateRunningFile("group.file", {"/x", digest}), kOk);
  CHECK(FieldOf(ValidateRunningFile("group.file", {})) == "group.file");
  CHECK(FieldOf(ValidateRunningFile("group.file", {"x", digest})) == "group.file.path");
  CHECK(FieldOf(ValidateRunningFile("group.file", {"/x", "short"})) == "group.file.sha256");
}

TEST_CASE("reasons are one line of UTF-8 of at most 512 bytes") {
  CHECK_CODE(ValidateReason(""), kOk);
  CHECK_CODE(ValidateReason(std::string(512, 'x')), kOk);
  CHECK_CODE(ValidateReason(std::string(513, 'x')), kInvalidArgument);
  for (const char* const bad :
       {"two\nlines", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\x1b[31m"}) {
    CHECK_CODE(ValidateReason(bad), kInvalidArgument);
  }
  CHECK_CODE(ValidateReason("žluťoučký kůň 🐎"), kOk);
  CHECK_CODE(ValidateReason(absl::string_view("a\0b", 3)), kInvalidArgument);
}

TEST_CASE("request ids, operator names, page sizes and times have limits") {
  CHECK_CODE(ValidateRequestId(""), kOk);
  CHECK_CODE(ValidateRequestId(std::string(64, 'a')), kOk);
  CHECK_CODE(ValidateRequestId(std::string(65, 'a')), kInvalidArgument);
  CHECK_CODE(ValidateRequestId("a b"), kInvalidArgument);
  CHECK_CODE(ValidateOperatorName("name", "olga@example.org"), kOk);
  CHECK_CODE(ValidateOperatorName("name", "sensor:web"), kInvalidArgument);
  CHECK(ValidatePageSize(0).value() == 100);
  CHECK(ValidatePageSize(1000).value() == 1000);
  CHECK_CODE(ValidatePageSize(1001), kInvalidArgument);
  CHECK_CODE(ValidatePageSize(-1), kInvalidArgument);
  CHECK(ValidateGuardDown(absl::ZeroDuration()).value() == absl::Minutes(10));
  CHECK_CODE(ValidateGuardDown(absl::Hours(1)), kOk);
  CHECK_CODE(ValidateGuardDown(absl::Hours(1) + absl::Seconds(1)), kInvalidArgument);
  CHECK_CODE(ValidateGuardDown(absl::Milliseconds(1500)), kInvalidArgument);
  CHECK_CODE(ValidateGuardDown(-absl::Seconds(1)), kInvalidArgument);
  CHECK(ValidateCommandTtl(absl::ZeroDuration()).value() == absl::Minutes(5));
  CHECK_CODE(ValidateCommandTtl(absl::Milliseconds(999)), kInvalidArgument);
  CHECK_CODE(ValidateCommandTtl(absl::Hours(14 * 24)), kOk);
  CHECK_CODE(ValidateCommandTtl(absl::Hours(14 * 24) + absl::Seconds(1)), kInvalidArgument);
  CHECK_CODE(ValidateTokenTtl(absl::Seconds(59)), kInvalidArgument);
  CHECK_CODE(ValidateTokenTtl(absl::Hours(30 * 24)), kOk);
}

IsolationRuleInput AnyRule() {
  IsolationRuleInput input;
  input.direction = static_cast<int>(Direction::kInbound);
  return input;
}

std::string BlamedField(const IsolationRuleInput& input) {
  return FieldOf(ParseIsolationRule(input).status());
}

TEST_CASE("an isolation rule is taken as it was meant") {
  IsolationRuleInput input = AnyRule();
  input.address = "10.0.1.0/24";
  input.has_ports = true;
  input.first_port = 4505;
  input.last_port = 4506;
  input.protocol = 6;
  input.description = "salt";
  const auto rule = ParseIsolationRule(input);
  REQUIRE_OK(rule);
  CHECK(rule->remote.ToString() == "10.0.1.0/24");
  CHECK(rule->first_port == 4505);
  CHECK(rule->last_port == 4506);
  CHECK(rule->protocol == 6);
  CHECK(ParseIsolationRule(AnyRule())->remote.is_any());
}

TEST_CASE("each wrong field of an isolation rule is blamed by name") {
  IsolationRuleInput input = AnyRule();
  input.address = "10.0.1.5/8";
  CHECK(BlamedField(input) == "rule.address");
  CHECK(absl::StrContains(ParseIsolationRule(input).status().message(), "10.0.0.0/8"));
  input = AnyRule();
  input.has_ports = true;
  CHECK(BlamedField(input) == "rule.ports.first");
  input.first_port = 70000;
  CHECK(BlamedField(input) == "rule.ports.first");
  input.first_port = 80;
  input.last_port = 79;
  CHECK(BlamedField(input) == "rule.ports.last");
  input.last_port = 65536;
  CHECK(BlamedField(input) == "rule.ports.last");
  input.last_port = 80;
  input.protocol = 1;
  CHECK(BlamedField(input) == "rule.ports");
  input = AnyRule();
  input.protocol = 256;
  CHECK(BlamedField(input) == "rule.protocol");
  input.protocol = 58;
  input.address = "10.0.0.1";
  CHECK(BlamedField(input) == "rule.protocol");
  input = AnyRule();
  input.direction = 0;
  CHECK(BlamedField(input) == "rule.direction");
  input = AnyRule();
  input.description = std::string(257, 'x');
  CHECK(BlamedField(input) == "rule.description");
}

TEST_CASE("a block is named after the end of the path") {
  CHECK(SanitizePathSuffix("/usr/bin/nc") == "usr-bin-nc");
  CHECK(SanitizePathSuffix("/opt/My Tool/x.sh") == "opt-my-tool-x.sh");
  CHECK(SanitizePathSuffix("/-/-") == "path");
  const std::string long_name = SanitizePathSuffix("/" + std::string(200, 'd') + "/evil");
  CHECK(long_name.size() <= 64);
  CHECK(absl::EndsWith(long_name, "-evil"));
}

TEST_CASE("two paths that sanitize alike get different names, the same path the same") {
  Policy first;
  first.binary_path = "/opt/a b";
  first.name = BlockBinaryPolicyName(first.binary_path, "", {});
  CHECK(first.name == "bulkhead-block-binary-opt-a-b");
  const std::string second = BlockBinaryPolicyName("/opt/a/b", "", {first});
  CHECK(absl::StartsWith(second, "bulkhead-block-binary-opt-a-b-"));
  CHECK(second.size() == first.name.size() + 9);
  CHECK(BlockBinaryPolicyName("/opt/a b", std::string(32, 'x'), {first}) == first.name);
}

TEST_CASE("a block of a content is named after its digits, all of them where the first are taken") {
  Policy first;
  first.binary_sha256 = std::string(32, '\xab');
  first.name = BlockBinaryPolicyName("", first.binary_sha256, {});
  CHECK(first.name == "bulkhead-block-binary-abababababababab");
  CHECK(BlockBinaryPolicyName("", first.binary_sha256, {first}) == first.name);
  const std::string alike = std::string(31, '\xab') + '\x01';
  CHECK(absl::EndsWith(BlockBinaryPolicyName("", alike, {first}), "abab01"));
}

TEST_CASE("a digest has 32 bytes") {
  CHECK_CODE(ValidateSha256("d", std::string(32, '\0')), kOk);
  for (const size_t size : {0, 1, 31, 33, 64}) {
    const absl::Status refused = ValidateSha256("d", std::string(size, 'a'));
    CHECK_CODE(refused, kInvalidArgument);
    CHECK(FieldOf(refused) == "d");
  }
}

TEST_CASE("what would break the host needs force, and the sensor is never blocked") {
  for (const char* const path :
       {"/sbin/init", "/usr/lib/systemd/systemd", "/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/ld-musl-x86_64.so.1", "/bin/sh", "/usr/bin/bash", "/usr/bin/dpkg", "/usr/bin/rpm"}) {
    INFO(path);
    CHECK(ReasonOf(CheckBlockable("binary.path", path, false)) == "DANGEROUS_BINARY");
    CHECK_CODE(CheckBlockable("binary.path", path, true), kOk);
  }
  for (const char* const path : {"/tmp/bash", "/usr/bin/nc", "/usr/bin/shred", "/home/x/sh"}) {
    INFO(path);
    CHECK_CODE(CheckBlockable("binary.path", path, false), kOk);
  }
  CHECK(ReasonOf(CheckBlockable("binary.path", "/usr/sbin/bulkhead-sensor", true)) == "SENSOR_BINARY");
}

}  // namespace
}  // namespace bulkhead::controlplane
