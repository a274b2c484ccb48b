// bulkheadctl from its arguments to its exit code, against a control plane in this process.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "common/file_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "unit/cli/fake_services.h"

namespace bulkhead::controlplane::cli::test {
namespace {

using Catch::Matchers::Contains;

grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::string& field = "") {
  google::rpc::Status packed;
  packed.set_code(code);
  packed.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("bulkhead");
  packed.add_details()->PackFrom(info);
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description("must be one of a, b");
    packed.add_details()->PackFrom(bad);
  }
  return grpc::Status(code, message, packed.SerializeAsString());
}

TEST_CASE("a list reads every page") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "list"}) == 0);
  CHECK_THAT(cli.out, Contains("web-1") && Contains("web-2"));
  CHECK(cli.err.empty());
}

TEST_CASE("json and yaml hold the protobuf JSON form, with empty fields too") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "get", "web-1", "-o", "json"}) == 0);
  CHECK_THAT(cli.out, Contains("\"desiredGeneration\": \"7\"") && Contains("\"isIsolated\": false"));
  REQUIRE(cli.Run({"-o", "yaml", "sensor", "get", "web-1"}) == 0);
  CHECK_THAT(cli.out, Contains("desiredGeneration: \"7\"\n") && Contains("isIsolated: false\n") &&
                          Contains("healthReasons: []\n"));
}

TEST_CASE("an order for a while, in shadow, or whatever happens to the control plane") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--for", "90s", "--on-expiry", "hold", "--hold-unreachable"}) == 0);
  CHECK(cli.sensors.contain.lease().duration().seconds() == 90);
  CHECK(cli.sensors.contain.lease().on_expiry() == v1::ON_EXPIRY_HOLD);
  CHECK(cli.sensors.contain.on_unreachable() == v1::ON_UNREACHABLE_HOLD);
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--until", "2030-01-01T00:00:00Z", "--shadow"}) == 0);
  CHECK(cli.sensors.contain.lease().until().seconds() == 1893456000);
  CHECK(cli.sensors.contain.lease().on_expiry() == v1::ON_EXPIRY_RELEASE);
  CHECK(cli.sensors.contain.action() == v1::POLICY_ACTION_NOTIFY);
  CHECK_THAT(cli.out, Contains("shadow"));
  REQUIRE(cli.Run({"sensor", "contain", "web-1"}) == 0);
  CHECK_FALSE(cli.sensors.contain.has_lease());
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--for", "soon"},
                                             {"--until", "tomorrow"},
                                             {"--for", "1m", "--until", "2030-01-01T00:00:00Z"},
                                             {"--on-expiry", "hold"},
                                             {"--for", "1m", "--on-expiry", "explode"},
                                             {"--shadow", "--action", "deny"}}) {
    std::vector<std::string> args = {"sensor", "contain", "web-1"};
    args.insert(args.end(), wrong.begin(), wrong.end());
    INFO(wrong[0] << " " << wrong[1]);
    CHECK(cli.Run(args) == 2);
  }
}

TEST_CASE("contain sends what was asked, with a request id of its own, and says how to undo it") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--reason", "INC-42", "--etag", "e6", "--action", "notify",
                   "--allow-degraded"}) == 0);
  CHECK(cli.sensors.contain.sensor() == "web-1");
  CHECK(cli.sensors.contain.reason() == "INC-42");
  CHECK(cli.sensors.contain.etag() == "e6");
  CHECK(cli.sensors.contain.action() == v1::POLICY_ACTION_NOTIFY);
  CHECK(cli.sensors.contain.allow_degraded());
  CHECK(cli.sensors.contain.request_id().size() == 36);
  CHECK(cli.out ==
        "web-1: containment in shadow ordered: nothing is cut, only counted and listed\n"
        "policy: network-containment 22222222-2222-4222-8222-222222222222\n"
        "undo:   bulkheadctl sensor release web-1\n"
        "not yet confirmed by the kernel: add --wait, or see bulkheadctl sensor get web-1\n");
}

TEST_CASE("an order may be about one cgroup, unit or container, and says so") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--unit", "nginx.service"}) == 0);
  CHECK(cli.sensors.contain.scope().systemd_unit() == "nginx.service");
  CHECK_THAT(cli.out, Catch::Contains("web-1: containment of unit:nginx.service ordered\n"));
  CHECK_THAT(cli.out, Catch::Contains("undo:   bulkheadctl sensor release web-1 --unit nginx.service\n"));
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--cgroup", "/a/b"}) == 0);
  CHECK(cli.sensors.contain.scope().cgroup() == "/a/b");
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--container", "0123456789ab"}) == 0);
  CHECK(cli.sensors.contain.scope().container() == "0123456789ab");
  REQUIRE(cli.Run({"sensor", "contain", "web-1"}) == 0);
  CHECK_FALSE(cli.sensors.contain.has_scope());
  CHECK(cli.Run({"sensor", "contain", "web-1", "--unit", "a.service", "--cgroup", "/a"}) == 2);
}

TEST_CASE("a block names a path, a content or both, and refuses what is neither before anything is sent") {
  const std::string digits(64, 'a');
  {
    Cli cli;
    REQUIRE(cli.Run({"sensor", "block-binary", "web-1", "/usr/bin/nc"}) == 0);
    CHECK(cli.sensors.block.binary().path() == "/usr/bin/nc");
    CHECK(cli.sensors.block.binary().sha256().empty());
  }
  Cli cli;
  REQUIRE(cli.Run({"sensor", "block-binary", "web-1", "--path", "/usr/bin/nc", "--sha256", digits, "--kill-running",
                   "--action", "deny", "--force"}) == 0);
  CHECK(cli.sensors.block.binary().path() == "/usr/bin/nc");
  CHECK(cli.sensors.block.binary().sha256() == std::string(32, '\xaa'));
  CHECK(cli.sensors.block.binary().kill_running());
  CHECK(cli.sensors.block.action() == v1::POLICY_ACTION_DENY);
  CHECK(cli.sensors.block.force());
  for (const std::string& wrong : {std::string("abc"), digits + "a", std::string(63, 'a') + "g", "0x" + digits}) {
    Cli refused;
    CHECK(refused.Run({"sensor", "block-binary", "web-1", "--sha256", wrong}) == 2);
    CHECK_THAT(refused.err, Contains("64 hexadecimal digits"));
    CHECK(refused.sensors.block.sensor().empty());
  }
  Cli nothing;
  CHECK(nothing.Run({"sensor", "block-binary", "web-1"}) == 2);
  CHECK_THAT(nothing.err, Contains("--path, --sha256 or both"));
}

TEST_CASE("an allow-list is of a scope, from flags and a file, or learns") {
  const std::string digits(64, 'a');
  const bulkhead::test::TempDir directory;
  const std::string file = directory.path() + "/list";
  REQUIRE_OK(
      WriteFileAtomically(file, "# nginx\n\n/usr/sbin/nginx\n" + digits + "\n" + digits + "  /lib/a b.so\n", 0600));
  Cli cli;
  REQUIRE(cli.Run({"sensor", "allow-list", "web-1", "--unit", "nginx.service", "--path", "/bin/a", "--path", "/bin/b",
                   "--sha256", digits, "--file", file, "--action", "notify"}) == 0);
  const v1::SetAllowListRequest& sent = cli.sensors.allow_list;
  CHECK(sent.scope().systemd_unit() == "nginx.service");
  CHECK(sent.action() == v1::POLICY_ACTION_NOTIFY);
  CHECK_FALSE(sent.allow_list().learn());
  REQUIRE(sent.allow_list().binaries_size() == 6);
  CHECK(sent.allow_list().binaries(1).path() == "/bin/b");
  CHECK(sent.allow_list().binaries(2).sha256() == std::string(32, '\xaa'));
  CHECK(sent.allow_list().binaries(3).path() == "/usr/sbin/nginx");
  CHECK(sent.allow_list().binaries(4).path().empty());
  CHECK(sent.allow_list().binaries(5).path() == "/lib/a b.so");
  CHECK(sent.allow_list().binaries(5).sha256() == std::string(32, '\xaa'));
  CHECK_THAT(cli.out, Contains("web-1: allow-list of 6 for unit:nginx.service ordered\n"));
  REQUIRE(cli.Run({"sensor", "allow-list", "web-1", "--cgroup", "/a", "--path", "/bin/a", "--kill-running"}) == 0);
  CHECK(cli.sensors.allow_list.allow_list().kill_running());
  REQUIRE(cli.Run({"sensor", "allow-list", "web-1", "--cgroup", "/a", "--learn"}) == 0);
  CHECK(cli.sensors.allow_list.allow_list().learn());
  CHECK_THAT(cli.out, Contains("list:   bulkheadctl policy learned 22222222-2222-4222-8222-222222222222\n"));

  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--path", "/bin/a"}, "--unit"},
      {{"--unit", "a.service"}, "--learn"},
      {{"--unit", "a.service", "--learn", "--path", "/bin/a"}, "--learn"},
      {{"--unit", "a.service", "--sha256", "abc"}, "64 hexadecimal digits"},
      {{"--unit", "a.service", "--file", file}, "line 2"},
  };
  REQUIRE_OK(WriteFileAtomically(file, "/bin/a\nbin/b\n", 0600));
  for (const auto& [flags, says] : wrong) {
    std::vector<std::string> args = {"sensor", "allow-list", "web-1"};
    args.insert(args.end(), flags.begin(), flags.end());
    Cli refused;
    CHECK(refused.Run(args) == 2);
    CHECK_THAT(refused.err, Contains(says));
    CHECK(refused.sensors.allow_list.sensor().empty());
  }
}

TEST_CASE("a block-list has a name and a file, and no other file beside it") {
  const bulkhead::test::TempDir directory;
  const std::string file = directory.path() + "/feed";
  REQUIRE_OK(WriteFileAtomically(file, "# feed\n/tmp/miner\n" + std::string(64, 'a') + "  /tmp/copy\n", 0600));
  Cli cli;
  REQUIRE(cli.Run({"sensor", "block-binary", "web-1", "--list", "feed", "--file", file, "--kill-running"}) == 0);
  const v1::BlockBinary& sent = cli.sensors.block.binary();
  CHECK(sent.list().name() == "feed");
  CHECK(sent.kill_running());
  REQUIRE(sent.list().binaries_size() == 2);
  CHECK(sent.list().binaries(0).path() == "/tmp/miner");
  CHECK(sent.list().binaries(1).sha256() == std::string(32, '\xaa'));
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--list", "feed"}, "--file"},
      {{"--file", file}, "--list"},
      {{"--list", "feed", "--file", file, "--path", "/tmp/x"}, "put the file into the list"},
  };
  for (const auto& [flags, says] : wrong) {
    std::vector<std::string> args = {"sensor", "block-binary", "web-1"};
    args.insert(args.end(), flags.begin(), flags.end());
    Cli refused;
    CHECK(refused.Run(args) == 2);
    CHECK_THAT(refused.err, Contains(says));
  }
}

TEST_CASE("what was learned is printed as --file takes it") {
  Cli cli;
  cli.policies.found.set_id("p1");
  cli.policies.found.mutable_scope()->set_systemd_unit("nginx.service");
  CHECK(cli.Run({"policy", "learned", "p1"}) == 1);
  CHECK_THAT(cli.err, Contains("does not learn"));
  cli.policies.found.mutable_allow_list()->set_learn(true);
  CHECK(cli.Run({"policy", "learned", "p1"}) == 1);
  CHECK_THAT(cli.err, Contains("has not reported"));
  v1::ObservedPolicy& seen = cli.sensors.observed.emplace_back();
  seen.set_policy_id("p1");
  seen.set_learned_truncated(true);
  const std::vector<std::pair<std::string, std::string>> files = {{"/usr/sbin/nginx", std::string(32, '\xaa')},
                                                                  {"", std::string(32, '\xbb')},
                                                                  {"/bin/line\nbreak", std::string(32, '\xcc')}};
  for (const auto& [path, sha256] : files) {
    v1::AllowedBinary& binary = *seen.add_learned();
    binary.set_path(path);
    binary.set_sha256(sha256);
  }
  REQUIRE(cli.Run({"policy", "learned", "p1"}) == 0);
  CHECK(cli.out ==
        "# learned in unit:nginx.service of web-1, reported 2025-12-31T23:59:55Z\n"
        "# NOT COMPLETE: more ran than fits\n" +
            std::string(64, 'a') + "  /usr/sbin/nginx\n" + std::string(64, 'b') + "\n" + std::string(64, 'c') + "\n");
  const std::string all = cli.out;
  REQUIRE(cli.Run({"policy", "learned", "p1", "--paths"}) == 0);
  CHECK_THAT(cli.out, Contains("\n/usr/sbin/nginx\n" + std::string(64, 'b') + "\n" + std::string(64, 'c') + "\n"));
  const bulkhead::test::TempDir directory;
  REQUIRE_OK(WriteFileAtomically(directory.path() + "/list", all, 0600));
  REQUIRE(cli.Run({"sensor", "allow-list", "web-1", "--unit", "nginx.service", "--file", directory.path() + "/list"}) ==
          0);
  CHECK(cli.sensors.allow_list.allow_list().binaries_size() == 3);
}

TEST_CASE("--wait returns once the kernel has the generation, not before") {
  Cli cli;
  v1::Sensor pending = SyncedSensor();
  pending.set_convergence(v1::CONVERGENCE_STATE_PENDING);
  pending.mutable_observed()->mutable_receipt()->set_generation(6);
  // Synced, but for the generation before: a client that looks at the state alone would be fooled.
  v1::Sensor before = SyncedSensor();
  before.mutable_observed()->mutable_receipt()->set_generation(6);
  cli.sensors.watched = {pending, before, SyncedSensor()};
  REQUIRE(cli.Run({"sensor", "contain", "web-1", "--wait"}) == 0);
  CHECK_THAT(cli.out, Contains("in the kernel: generation 7, 0 programs attached, 2 sockets destroyed"));

  cli.sensors.watched = {pending, before};
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait", "--timeout", "200ms"}) == 3);
  CHECK_THAT(cli.err, Contains("the order is stored") && Contains("web-1") && Contains("generation 6 of 7"));
  CHECK_THAT(cli.out, Contains("undo:"));
}

TEST_CASE("--wait ends with 3 and the reason when the kernel refused") {
  Cli cli;
  v1::Sensor failed = SyncedSensor();
  failed.set_convergence(v1::CONVERGENCE_STATE_FAILED);
  failed.set_convergence_reason("map is full");
  cli.sensors.watched = {failed};
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait"}) == 3);
  CHECK_THAT(cli.err, Contains("map is full") && Contains("what was enforced before still is"));
}

TEST_CASE("--wait ends with 3 when this policy was refused alone, and does not mind another that was") {
  Cli cli;
  v1::Sensor partial = SyncedSensor();
  partial.set_convergence(v1::CONVERGENCE_STATE_PARTIAL);
  v1::ObservedPolicy* refused = partial.mutable_observed()->add_policies();
  refused->set_policy_id("33333333-2222-4222-8222-222222222222");
  refused->set_refused("it is a shell");
  cli.sensors.watched = {partial};
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait"}) == 0);
  partial.mutable_observed()->mutable_policies(0)->set_policy_id("22222222-2222-4222-8222-222222222222");
  cli.sensors.watched = {partial};
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait"}) == 3);
  CHECK_THAT(cli.err, Contains("it is a shell") && Contains("policy delete 22222222"));
}

TEST_CASE("--wait on a sensor that is away says so") {
  Cli cli;
  v1::Sensor away = SyncedSensor();
  away.set_connected(false);
  away.set_convergence(v1::CONVERGENCE_STATE_PENDING);
  cli.sensors.watched = {away};
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait", "--timeout", "100ms"}) == 3);
  CHECK_THAT(cli.err, Contains("not connected (last heard of 5s ago); the order reaches it when it returns"));
}

TEST_CASE("a watch of sensors goes on from its token, and from the present when the token is too old") {
  Cli cli;
  cli.sensors.watched = {SyncedSensor()};
  cli.sensors.watch_ends = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down"),
                            grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "too old"),
                            grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "disabled")};
  CHECK(cli.Run({"sensor", "watch", "--resume", "mine"}) == 1);
  CHECK_THAT(cli.err, Contains("too old") && Contains("as it is now") && Contains("disabled"));
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 1 + 3);  // bookmarks are not shown
  REQUIRE(cli.sensors.watches.size() == 3);
  CHECK(cli.sensors.watches[0].resume_token() == "mine");
  CHECK(cli.sensors.watches[1].resume_token() == "bookmark");
  CHECK(cli.sensors.watches[2].resume_token().empty());
}

TEST_CASE("a refusal names reason, field, what to do and the request id") {
  Cli cli;
  cli.sensors.answer = Refusal(grpc::StatusCode::INVALID_ARGUMENT, "reason is too long", "INVALID_FIELD", "reason");
  CHECK(cli.Run({"sensor", "contain", "web-1", "--request-id", "r-1"}) == 1);
  CHECK(cli.err ==
        "error: reason is too long (INVALID_FIELD)\n"
        "  field: reason: must be one of a, b\n"
        "  to do: correct the value and repeat the command\n"
        "  request id: r-1 (the same command with --request-id r-1 is applied at most once)\n");
  CHECK(cli.out.empty());

  cli.sensors.answer = Refusal(grpc::StatusCode::FAILED_PRECONDITION, "sensor web-1 is revoked", "SENSOR_REVOKED");
  CHECK(cli.Run({"sensor", "contain", "web-1"}) == 1);
  CHECK_THAT(cli.err, Contains("(SENSOR_REVOKED)") && Contains("token create --reenroll"));

  cli.sensors.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused");
  CHECK(cli.Run({"sensor", "list"}) == 1);
  CHECK_THAT(cli.err, Contains("bulkhead.example.org:7443") && !Contains("request id"));
}

TEST_CASE("kill refuses pid 1 and less itself, and waits for the result") {
  Cli cli;
  CHECK(cli.Run({"sensor", "kill", "web-1", "1"}) == 2);
  CHECK(cli.Run({"sensor", "kill", "web-1", "--", "-5"}) == 2);
  CHECK(cli.sensors.kill.sensor().empty());

  cli.sensors.finished.set_state(v1::COMMAND_STATE_SUCCEEDED);
  cli.sensors.finished.mutable_kill_result()->set_outcome(v1::KILL_OUTCOME_GONE);
  cli.sensors.finished.mutable_kill_result()->set_found("sleep 1000");
  CHECK(cli.Run({"sensor", "kill", "web-1", "4711", "--exe", "/bin/sleep", "--wait"}) == 0);
  CHECK(cli.sensors.kill.process().pid() == 4711);
  CHECK(cli.sensors.kill.process().executable() == "/bin/sleep");
  CHECK(cli.sensors.gets == 2);
  CHECK_THAT(cli.out, Contains("state         succeeded\noutcome       gone\nfound         sleep 1000\n"));

  cli.sensors.finished.set_state(v1::COMMAND_STATE_FAILED);
  cli.sensors.finished.mutable_kill_result()->set_outcome(v1::KILL_OUTCOME_NOT_THE_SAME_PROCESS);
  CHECK(cli.Run({"sensor", "kill", "web-1", "4711", "--wait"}) == 3);
  CHECK_THAT(cli.err, Contains("not-the-same-process"));
}

TEST_CASE("kill of several says whom in one way, and shows each that the sensor listed") {
  const std::string digits(64, 'a');
  const auto group = [](std::vector<std::string> flags) {
    Cli cli;
    flags.insert(flags.begin(), {"sensor", "kill", "web-1", "--reason", "why"});
    REQUIRE(cli.Run(flags) == 0);
    CHECK(cli.sensors.kill.sensor().empty());
    CHECK(cli.sensors.kill_group.sensor() == "web-1");
    CHECK(cli.sensors.kill_group.reason() == "why");
    CHECK_FALSE(cli.sensors.kill_group.request_id().empty());
    return std::pair(cli.sensors.kill_group.group(), cli.out);
  };
  CHECK(group({"--tree", "4711", "--exe", "/bin/sh"}).first.tree().pid() == 4711);
  CHECK(group({"--tree", "4711", "--exe", "/bin/sh"}).first.tree().executable() == "/bin/sh");
  CHECK_THAT(group({"--tree", "4711"}).second, Contains("kill tree     4711\n"));
  CHECK(group({"--file", "/tmp/.x", "--sha256", digits}).first.file().path() == "/tmp/.x");
  CHECK(group({"--sha256", digits}).first.file().sha256() == std::string(32, '\xaa'));
  CHECK_THAT(group({"--file", "/tmp/.x", "--sha256", digits}).second,
             Contains("kill file     /tmp/.x sha256:" + digits + "\n"));
  CHECK(group({"--unit", "cron.service"}).first.scope().systemd_unit() == "cron.service");
  CHECK(group({"--cgroup", "/a"}).first.scope().cgroup() == "/a");
  CHECK(group({"--container", "0123456789ab"}).first.scope().container() == "0123456789ab");
  CHECK_THAT(group({"--unit", "cron.service"}).second, Contains("kill scope    unit:cron.service\n"));

  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {"4711", "--tree", "4711"},
                                             {"--tree", "4711", "--file", "/x"},
                                             {"--file", "/x", "--unit", "u.service"},
                                             {"--tree", "1"},
                                             {"--file", "/x", "--exe", "/y"},
                                             {"--sha256", "abc"}}) {
    Cli refused;
    std::vector<std::string> line = {"sensor", "kill", "web-1"};
    line.insert(line.end(), wrong.begin(), wrong.end());
    CHECK(refused.Run(line) == 2);
    CHECK(refused.sensors.kill_group.sensor().empty());
    CHECK(refused.sensors.kill.sensor().empty());
  }

  Cli cli;
  v1::Command& finished = cli.sensors.finished;
  finished.set_state(v1::COMMAND_STATE_SUCCEEDED);
  finished.mutable_kill_group()->mutable_tree()->set_pid(4711);
  v1::KillGroupResult& result = *finished.mutable_kill_group_result();
  result.set_outcome(v1::KILL_OUTCOME_GONE);
  result.set_killed(300);
  result.set_refused(1);
  result.set_message("300 killed");
  v1::KillResult& process = *result.add_processes();
  process.set_outcome(v1::KILL_OUTCOME_REFUSED);
  process.set_found("pid 1 \x1b[2J");
  process.set_message("never");
  CHECK(cli.Run({"sensor", "kill", "web-1", "--tree", "4711", "--wait"}) == 0);
  CHECK_THAT(cli.out, Contains("outcome       gone\n") && Contains("killed        300\nleft alone    1\n") &&
                          Contains("  process     refused: pid 1 ?[2J: never\n") &&
                          Contains("  and         300 more that are not listed\n") &&
                          Contains("message       300 killed"));
  finished.set_state(v1::COMMAND_STATE_FAILED);
  result.set_outcome(v1::KILL_OUTCOME_SIGNALLED_STILL_THERE);
  CHECK(cli.Run({"sensor", "kill", "web-1", "--tree", "4711", "--wait"}) == 3);
  CHECK_THAT(cli.err, Contains("signalled-still-there"));
}

TEST_CASE("lower-guard says for how long, and waits for the result") {
  Cli cli;
  CHECK(cli.Run({"sensor", "lower-guard", "web-1", "--for", "90s", "--reason", "upgrade"}) == 0);
  CHECK(cli.sensors.lower.sensor() == "web-1");
  CHECK(cli.sensors.lower.duration().seconds() == 90);
  CHECK(cli.sensors.lower.reason() == "upgrade");
  CHECK_THAT(cli.out, Contains("lower guard   for 90 s"));
  cli.sensors.finished.set_state(v1::COMMAND_STATE_FAILED);
  cli.sensors.finished.mutable_lower_guard();
  cli.sensors.finished.mutable_guard_result()->set_outcome(v1::GUARD_OUTCOME_REFUSED);
  cli.sensors.finished.mutable_guard_result()->set_message("there is no guard");
  CHECK(cli.Run({"sensor", "lower-guard", "web-1", "--wait"}) == 3);
  CHECK_THAT(cli.err, Contains("refused") && Contains("there is no guard"));
}

TEST_CASE("guard-code shows the code, or writes it to a file that only its owner reads") {
  Cli cli;
  CHECK(cli.Run({"sensor", "guard-code", "web-1"}) == 0);
  CHECK_THAT(cli.out, Contains("AAAA-BBBB") && Contains("bulkhead-sensor lower-guard"));
  const bulkhead::test::TempDir dir;
  CHECK(cli.Run({"sensor", "guard-code", "web-1", "--code-file", dir / "code"}) == 0);
  CHECK_THAT(cli.out, !Contains("AAAA-BBBB"));
  CHECK(*ReadFile(dir / "code") == "AAAA-BBBB\n");
}

TEST_CASE("what cannot be undone asks, or refuses when nobody is there") {
  Cli cli;
  CHECK(cli.Run({"sensor", "revoke", "web-1"}) == 2);
  CHECK_THAT(cli.err, Contains("--yes"));
  CHECK(cli.Run({"sensor", "revoke", "web-1"}, true, "web-2\n") == 1);
  CHECK_THAT(cli.err, Contains("nothing was done"));
  CHECK(cli.sensors.revokes == 0);
  CHECK(cli.Run({"sensor", "revoke", "web-1"}, true, "web-1\n") == 0);
  CHECK(cli.Run({"sensor", "revoke", "web-1", "--yes"}) == 0);
  CHECK(cli.sensors.revokes == 2);
}

TEST_CASE("a rule is read from words") {
  Cli cli;
  REQUIRE(cli.Run({"isolation-rule", "add", "--direction", "outbound", "--address", "2001:db8::/32", "--ports",
                   "4505-4506", "--protocol", "tcp", "--description", "salt"}) == 0);
  const v1::IsolationRule& rule = cli.rules.created.rule();
  CHECK(rule.direction() == v1::DIRECTION_OUTBOUND);
  CHECK(rule.address() == "2001:db8::/32");
  CHECK(rule.ports().first() == 4505);
  CHECK(rule.ports().last() == 4506);
  CHECK(rule.protocol() == 6);
  CHECK_THAT(cli.out, Contains("undo:   bulkheadctl isolation-rule delete 44444444"));

  REQUIRE(cli.Run({"isolation-rule", "add", "--direction", "any", "--address", "any", "--ports", "any", "--protocol",
                   "132"}) == 0);
  CHECK(cli.rules.created.rule().address().empty());
  CHECK_FALSE(cli.rules.created.rule().has_ports());
  CHECK(cli.rules.created.rule().protocol() == 132);

  CHECK(cli.Run({"isolation-rule", "add", "--direction", "any", "--ports", "ssh"}) == 2);
  CHECK(cli.Run({"isolation-rule", "add", "--direction", "any", "--protocol", "quic"}) == 2);
  CHECK(cli.Run({"isolation-rule", "add", "--direction", "sideways"}) == 2);
  CHECK(cli.Run({"isolation-rule", "add"}) == 2);
}

TEST_CASE("the audit list stops at its limit, and a broken chain is an error") {
  Cli cli;
  REQUIRE(cli.Run({"audit", "list", "--limit", "3"}) == 0);
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 4);
  cli.audit.verdict.set_intact(true);
  cli.audit.verdict.set_records_checked(12);
  CHECK(cli.Run({"audit", "verify"}) == 0);
  CHECK(cli.out == "intact: 12 records, none missing or changed\n");
  cli.audit.verdict.set_intact(false);
  cli.audit.verdict.set_first_bad_sequence(5);
  CHECK(cli.Run({"audit", "verify"}) == 1);
  CHECK_THAT(cli.err, Contains("record 5"));
}

TEST_CASE("a token's secret goes to a file that only its owner can read, and then nowhere else") {
  Cli cli;
  REQUIRE(cli.Run({"token", "create"}) == 0);
  CHECK_THAT(cli.out, Contains("s3cret"));

  char directory[] = "/tmp/bulkheadctl-test-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string file = std::string(directory) + "/secret";
  REQUIRE(cli.Run({"token", "create", "--secret-file", file, "-o", "json"}) == 0);
  CHECK_THAT(cli.out, !Contains("s3cret"));
  CHECK(*ReadFile(file) == "s3cret");
  struct stat info {};
  REQUIRE(stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  unlink(file.c_str());
  rmdir(directory);
}

TEST_CASE("wrong usage is told apart from errors, and help is not an error") {
  Cli cli;
  CHECK(cli.Run({}) == 2);
  CHECK(cli.Run({"sensor"}) == 2);
  CHECK(cli.Run({"sensor", "frob"}) == 2);
  CHECK(cli.Run({"sensor", "list", "-o", "xml"}) == 2);
  CHECK_THAT(cli.err, Contains("write table, json or yaml"));
  CHECK(cli.Run({"sensor", "contain", "web-1", "--wait", "--timeout", "soon"}) == 2);
  CHECK_THAT(cli.err, Contains("90s"));
  CHECK(cli.Run({"sensor", "contain", "--help"}) == 0);
  CHECK_THAT(cli.out, Contains("Does not:") && Contains("Undo:") && Contains("Example:"));
  CHECK(cli.Run({"version"}) == 0);
  CHECK(cli.out == "bulkheadctl " BULKHEAD_VERSION "\n");
}

TEST_CASE("bash completes verbs, flags, values and the names of sensors") {
  Cli cli;
  const auto complete = [&cli](std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--"});
    REQUIRE(cli.Run(words) == 0);
    return cli.out;
  };
  CHECK(complete({"sensor", "re"}) == "release\nrevoke\n");
  CHECK(complete({"sensor", "contain", "web"}) == "web-1\n");
  CHECK(complete({"sensor", "contain", "web-1", "web"}) == "");
  CHECK(complete({"sensor", "watch", "web-1", "web"}) == "web-1\n");
  CHECK(complete({"sensor", "contain", "--reason", "x", "web"}) == "web-1\n");
  CHECK(complete({"sensor", "contain", "web-1", "--wa"}) == "--wait\n");
  CHECK(complete({"sensor", "contain", "--action", ""}) == "deny\nnotify\nsigkill\n");
  CHECK(complete({"-o", "j"}) == "json\n");
  cli.sensors.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "");
  CHECK(complete({"sensor", "contain", "web"}) == "");
}

}  // namespace
}  // namespace bulkhead::controlplane::cli::test
