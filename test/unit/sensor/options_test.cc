// Options: the file, the flags, and precise errors.
#include "sensor/app/options.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "common/file_util.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "sensor/app/host_facts.h"
#include "sensor/app/status_text.h"

namespace bulkhead::sensor {
namespace {

absl::StatusOr<Options> Parse(const std::string& yaml, const RawOptions& flags = {}) {
  const test::TempDir dir;
  const absl::Status written = WriteFileAtomically(dir / "options.yaml", yaml, 0600);
  if (!written.ok()) return written;
  const absl::StatusOr<RawOptions> raw = ReadOptionsFile(dir / "options.yaml");
  if (!raw.ok()) return raw.status();
  return CheckOptions(*raw, flags);
}

TEST_CASE("an empty file gives the defaults") {
  const auto options = Parse("");
  REQUIRE_OK(options);
  CHECK(options->control_planes.empty());
  CHECK(options->state_dir == "/var/lib/bulkhead-sensor");
  CHECK(options->scope.empty());
  CHECK_FALSE(options->log_json);
  CHECK_FALSE(options->tamper_guard);
  CHECK(options->kill_ring_holders);
}

TEST_CASE("the tamper guard is asked for by the file or the flag") {
  CHECK(Parse("tamper_guard: on")->tamper_guard);
  CHECK_FALSE(Parse("ring_sockets: report")->kill_ring_holders);
  RawOptions flags;
  flags.tamper_guard = "off";
  CHECK_FALSE(Parse("tamper_guard: on", flags)->tamper_guard);
  CHECK_FALSE(Parse("scope: /sys/fs/cgroup/x\ntamper_guard: off")->tamper_guard);
}

TEST_CASE("every key is read, and flags win") {
  const std::string yaml =
      "control_plane: [a:1, 'b:2']\nstate_dir: /s/\nscope: /sys/fs/cgroup/x\nbpffs: /b\nlog: {level: debug, format: "
      "json}\n";
  const auto options = Parse(yaml);
  REQUIRE_OK(options);
  REQUIRE(options->control_planes.size() == 2);
  CHECK(options->control_planes[1] == HostPort{"b", 2});
  CHECK(options->state_dir == "/s");
  CHECK(options->scope == "/sys/fs/cgroup/x");
  CHECK(options->log_level == LogLevel::kDebug);
  CHECK(options->log_json);
  RawOptions flags;
  flags.control_planes = {"c:3"};
  flags.log_format = "text";
  const auto overridden = Parse(yaml, flags);
  REQUIRE_OK(overridden);
  CHECK(overridden->control_planes == std::vector<HostPort>{{"c", 3}});
  CHECK_FALSE(overridden->log_json);
  CHECK(Parse("control_plane: a:1")->control_planes.size() == 1);
}

TEST_CASE("what is wrong is named") {
  const char* const cases[][2] = {{"control_plane: nowhere", "control_plane"},
                                  {"control_plane: {a: b}", "control_plane"},
                                  {"control_plane: [[a]]", "control_plane"},
                                  {"state_dir: relative", "state_dir"},
                                  {"scope: [a]", "scope"},
                                  {"log: {level: loud}", "log.level"},
                                  {"log: {format: xml}", "log.format"},
                                  {"log: {colour: red}", "log.colour"},
                                  {"log: quiet", "log"},
                                  {"contorl_plane: a:1", "contorl_plane"},
                                  {"- a", "map"},
                                  {"a: [", "options.yaml"},
                                  {"policy_file: /p\ncontrol_plane: a:1", "policy_file"},
                                  {"tamper_guard: maybe", "tamper_guard"},
                                  {"ring_sockets: spare", "ring_sockets"},
                                  {"tamper_guard: on\nscope: /sys/fs/cgroup/x", "cannot be combined with scope"},
                                  {"tamper_guard: on\npolicy_file: /p", "cannot be combined with policy_file"}};
  for (const auto& [yaml, named] : cases) {
    INFO(yaml);
    const auto options = Parse(yaml);
    CHECK_CODE(options, kInvalidArgument);
    CHECK(absl::StrContains(options.status().message(), named));
  }
  CHECK_CODE(ReadOptionsFile("/nonexistent/options.yaml"), kNotFound);
}

TEST_CASE("facts about the host") {
  CHECK(PrettyName("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n") == "Debian GNU/Linux 12");
  CHECK(PrettyName("NAME=x\n").empty());
  const HostFacts facts = ReadHostFacts("/scope");
  CHECK(facts.boot_id.size() == 36);
  CHECK_FALSE(facts.kernel_release.empty());
  CHECK(absl::StrContains(OwnExecutable(), "sensor_runtime_test"));
}

TEST_CASE("the status text says what a person needs first") {
  ObservedState observed;
  observed.isolated = true;
  observed.receipt.generation = 7;
  observed.receipt.enforced_at = absl::UnixEpoch();
  observed.policies = {{"p1", {"cgroup_skb"}, 3, ""}};
  observed.critical = {"a link was detached"};
  const std::string text = StatusText(observed, "connected to cp:1", absl::UnixEpoch());
  for (const char* expected : {"isolated:     yes", "contained:    no", "generation:   7 since 1970-01-01",
                               "p1 carried by "
                               "cgroup_skb; stopped 3",
                               "CRITICAL:     a link was detached", "connected to cp:1"}) {
    INFO(text);
    CHECK(absl::StrContains(text, expected));
  }
  CHECK(absl::StrContains(StatusText({}, "", absl::UnixEpoch()), "none was ever ordered"));
}

}  // namespace
}  // namespace bulkhead::sensor
