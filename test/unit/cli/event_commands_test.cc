// bulkheadctl events, and the audit log that is taken home.
#include <catch2/catch.hpp>

#include "common/file_util.h"
#include "common/hex.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "unit/cli/fake_services.h"

namespace bulkhead::controlplane::cli::test {
namespace {

using Catch::Matchers::Contains;

v1::StoredEvent Denied(uint64_t sequence) {
  v1::StoredEvent stored;
  stored.set_sensor_name("web-1");
  stored.set_lost_before(12);
  v1::Event& event = *stored.mutable_event();
  event.set_sequence(sequence);
  event.mutable_time()->set_seconds(1'767'225'000);
  event.set_kind(v1::EVENT_KIND_EXEC_DENIED);
  event.set_policy_id(kPolicyId);
  event.set_pid(4242);
  event.set_comm("sh\x1b[31m");
  event.set_parent_pid(77);
  event.set_parent_comm("nginx");
  event.set_uid(33);
  event.set_container("0123456789abcdef");
  event.set_detail("SIGKILL: exec of /tmp/.x");
  return stored;
}

TEST_CASE("the list shows who tried what, when, below whom, where, and which policy stopped it") {
  Cli cli;
  cli.events.stored = {Denied(1), Denied(2), Denied(3)};
  REQUIRE(cli.Run({"events", "list", "--sensor", "web-1", "--kind", "exec-denied", "--policy", kPolicyId, "--since",
                   "2h", "--until", "2025-12-31T23:30:00Z", "--limit", "2"}) == 0);
  CHECK_THAT(cli.out, Contains("2025-12-31T23:50:00Z") && Contains("web-1") && Contains("exec-denied") &&
                          Contains("sh?[31m(4242)") && Contains("nginx(77)") && Contains("33") &&
                          Contains("0123456789ab ") && Contains(kPolicyId) &&
                          Contains("[12 lost before this] SIGKILL: exec of /tmp/.x"));
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 3);
  const v1::ListEventsRequest& asked = cli.events.listed;
  CHECK(asked.sensor() == "web-1");
  CHECK(asked.kind() == v1::EVENT_KIND_EXEC_DENIED);
  CHECK(asked.since().seconds() == 1'767'225'600 - 7200);
  CHECK(asked.until().seconds() == 1'767'223'800);
  REQUIRE(cli.Run({"events", "list", "-o", "json"}) == 0);
  CHECK_THAT(cli.out, Contains("\"parentComm\": \"nginx\"") && Contains("\"lostBefore\": \"12\""));
}

TEST_CASE("wrong flags are wrong usage") {
  Cli cli;
  CHECK(cli.Run({"events", "list", "--kind", "explosion"}) == 2);
  CHECK_THAT(cli.err, Contains("exec-denied|"));
  CHECK(cli.Run({"events", "list", "--since", "yesterday"}) == 2);
  CHECK(cli.Run({"events", "list", "--since", "-5m"}) == 2);
  CHECK(cli.Run({"events", "list", "--limit", "0"}) == 2);
  CHECK(cli.Run({"events"}) == 2);
}

TEST_CASE("a watch goes on from its token when the replica ends, and ends on a refusal") {
  Cli cli;
  cli.events.stored = {Denied(1), Denied(2)};
  cli.events.ends = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down"),
                     grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "disabled")};
  CHECK(cli.Run({"events", "watch", "--since", "1d"}) == 1);
  CHECK_THAT(cli.err, Contains("disabled"));
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 1 + 2 * 2);
  REQUIRE(cli.events.watched.size() == 2);
  CHECK(cli.events.watched[0].has_since());
  CHECK_FALSE(cli.events.watched[1].has_since());
  CHECK(cli.events.watched[1].resume_token() == "token-2");
  // Nowhere to go on from: an error, not a loop.
  cli.events.stored.clear();
  cli.events.ends = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "no server")};
  CHECK(cli.Run({"events", "watch"}) == 1);
  cli.events.ends = {grpc::Status::OK};
  CHECK(cli.Run({"events", "watch", "--resume", "mine", "-o", "json"}) == 0);
  CHECK(cli.events.watched.back().resume_token() == "mine");
}

TEST_CASE("counts say what is missing") {
  Cli cli;
  REQUIRE(cli.Run({"events", "counts"}) == 0);
  CHECK_THAT(cli.out, Contains("REFUSED") && Contains("2026-01-01") && Contains("17"));
}

TEST_CASE("an export is one record a line, its head goes to standard error, and it verifies without a server") {
  Cli cli;
  cli.audit.FillLog(2500);
  REQUIRE(cli.Run({"audit", "head"}) == 0);
  const std::string head = cli.out.substr(0, cli.out.size() - 1);
  CHECK_THAT(head, Contains("2500:"));
  REQUIRE(cli.Run({"audit", "export"}) == 0);
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 2500);
  CHECK_THAT(cli.err, Contains(head));
  const bulkhead::test::TempDir directory;
  const std::string file = directory.path() + "/audit.jsonl";
  REQUIRE_OK(WriteFileAtomically(file, cli.out, 0600));
  const std::string whole = cli.out;
  CHECK(cli.Run({"audit", "verify", "--file", file, "--expect-head", head}) == 0);
  CHECK_THAT(cli.out, Contains("2500 records, 1 to 2500") && Contains(head));
  REQUIRE(cli.Run({"audit", "export", "--from", "2000", "--to", "2100", "--since", "1h"}) == 0);
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 101);
  REQUIRE_OK(WriteFileAtomically(file, cli.out, 0600));
  CHECK(cli.Run({"audit", "verify", "--file", file}) == 0);
  CHECK_THAT(cli.out, Contains("before record 2000"));
  CHECK(cli.Run({"audit", "verify", "--file", file, "--expect-head", head}) == 1);
  CHECK_THAT(cli.err, Contains("tampered") && Contains("missing at the end"));
  CHECK(cli.Run({"audit", "verify", "--file", directory.path() + "/none"}) == 2);
  CHECK(cli.Run({"audit", "verify", "--expect-head", "12"}) == 2);
  // The server's own log against a head that was kept.
  cli.audit.verdict.set_intact(true);
  CHECK(cli.Run({"audit", "verify", "--expect-head", head}) == 0);
  CHECK(cli.Run({"audit", "verify", "--expect-head", "2500:" + ToHex(Sha256("other"))}) == 1);
  CHECK(cli.Run({"audit", "verify", "--expect-head", "2501:" + ToHex(Sha256("other"))}) == 1);
}

}  // namespace
}  // namespace bulkhead::controlplane::cli::test
