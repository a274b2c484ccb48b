// Watches that go on: after a break, at another replica, after a restart; nothing is missed and little is told twice.
#include <catch2/catch.hpp>

#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "controlplane/api/resume_token.h"
#include "controlplane/domain/errors.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

// One watch with bookmarks.
struct Watch {
  Watch(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
        const std::vector<std::string>& chosen = {})
      : stub(v1::SensorService::NewStub(channel)) {
    v1::WatchSensorsRequest request;
    for (const std::string& sensor : chosen) request.add_sensors(sensor);
    request.set_resume_token(token);
    request.set_bookmarks(true);
    reader = stub->WatchSensors(context.get(), request);
  }
  ~Watch() {
    context->TryCancel();
    if (!finished) reader->Finish();
  }
  grpc::Status Finish() {
    finished = true;
    return reader->Finish();
  }
  v1::WatchSensorsResponse Next() {
    v1::WatchSensorsResponse response;
    REQUIRE(reader->Read(&response));
    return response;
  }
  // What is told before the next bookmark: "+name" and "-name" in order of the names.
  std::set<std::string> UntilBookmark() {
    std::set<std::string> told;
    for (v1::WatchSensorsResponse response = Next();; response = Next()) {
      token = response.resume_token();
      if (response.bookmark()) return told;
      told.insert((response.deleted() ? "-" : "+") + response.sensor().name());
    }
  }

  bool finished = false;
  std::string token;
  std::unique_ptr<v1::SensorService::Stub> stub;
  std::unique_ptr<grpc::ClientContext> context = Context(absl::Seconds(60));
  std::unique_ptr<grpc::ClientReader<v1::WatchSensorsResponse>> reader;
};

using Told = std::set<std::string>;

struct Fixture {
  ControlPlane plane;
  ClientIdentity web = plane.EnrollSensor("web-1");
  ClientIdentity db = plane.EnrollSensor("db-1");
  ClientIdentity admin = plane.MakeOperator("olga", "admin");
  std::shared_ptr<grpc::Channel> channel = plane.Connect(admin);
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(channel);

  void Contain(const std::string& sensor) {
    v1::ContainSensorRequest request;
    request.set_sensor(sensor);
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
  }
  void Delete(const std::string& sensor) {
    v1::DeleteSensorRequest request;
    request.set_sensor(sensor);
    v1::DeleteSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::DeleteSensor, request, &response));
  }
  // Watches until everything was sent once.
  std::string FirstToken(const std::vector<std::string>& chosen = {}) {
    Watch watch(channel, "", chosen);
    watch.UntilBookmark();
    return watch.token;
  }
  grpc::Status Refusal(const std::string& token, const std::vector<std::string>& chosen = {}) {
    Watch watch(channel, token, chosen);
    v1::WatchSensorsResponse response;
    CHECK_FALSE(watch.reader->Read(&response));
    return watch.Finish();
  }
};

TEST_CASE_METHOD(Fixture, "no token before everything was sent, then a bookmark with one") {
  Watch watch(channel, "");
  CHECK(watch.Next().resume_token().empty());
  CHECK(watch.Next().resume_token().empty());
  const v1::WatchSensorsResponse bookmark = watch.Next();
  CHECK(bookmark.bookmark());
  CHECK_FALSE(bookmark.has_sensor());
  CHECK_FALSE(bookmark.resume_token().empty());
  // A change carries the token too.
  Contain("web-1");
  CHECK_FALSE(watch.Next().resume_token().empty());
}

TEST_CASE_METHOD(Fixture, "nothing changed: only the bookmark") {
  Watch watch(channel, FirstToken());
  CHECK(watch.UntilBookmark() == Told{});
}

TEST_CASE_METHOD(Fixture, "what changed while away is told, what did not is not; deletions are told") {
  plane.EnrollSensor("old-1");
  const std::string token = FirstToken();
  Contain("web-1");
  Delete("old-1");
  plane.EnrollSensor("new-1");
  Watch watch(channel, token);
  CHECK(watch.UntilBookmark() == Told{"+new-1", "+web-1", "-old-1"});
  // The watch goes on: what was not told at first is known and told when it changes.
  Contain("db-1");
  const v1::WatchSensorsResponse changed = watch.Next();
  CHECK(changed.sensor().name() == "db-1");
  CHECK(changed.sensor().is_contained());
}

TEST_CASE_METHOD(Fixture, "a watch goes on at another replica, and after a restart") {
  const std::string token = FirstToken();
  Contain("web-1");
  {
    const auto replica = plane.StartReplica("second");
    Watch watch(plane.ConnectTo(*replica, admin), token);
    CHECK(watch.UntilBookmark() == Told{"+web-1"});
  }
  plane.Restart();
  Watch watch(plane.Connect(admin), token);
  CHECK(watch.UntilBookmark() == Told{"+web-1"});
}

TEST_CASE_METHOD(Fixture, "what a sensor reported while away is told, and that it has gone") {
  std::string token = FirstToken();
  {
    TestSensor sensor(plane, web);
    sensor.Open();
    Watch watch(channel, token);
    CHECK(watch.UntilBookmark() == Told{"+web-1"});
    token = watch.token;
  }
  while (plane.database().Value("SELECT count(*) FROM sensor_reports WHERE session_holder IS NOT NULL") != "0") {
    absl::SleepFor(absl::Milliseconds(20));
  }
  Watch watch(channel, token);
  CHECK(watch.UntilBookmark() == Told{"+web-1"});
}

TEST_CASE_METHOD(Fixture, "a sensor that went offline by time alone is told") {
  const std::string token = FirstToken();
  // As if both had enrolled two hours ago: one was offline already when the token was made.
  plane.database().Execute("UPDATE sensors SET enrolled_at = now() - interval '2 hours'");
  const std::string later = FirstToken();
  CHECK(Watch(channel, later).UntilBookmark() == Told{});
  CHECK(Watch(channel, token).UntilBookmark() == Told{"+db-1", "+web-1"});
}

TEST_CASE_METHOD(Fixture, "a transaction that was open when the token was made, and committed after, is not missed") {
  pqxx::connection other(plane.database().connection_string());
  pqxx::work work(other);
  work.exec("SAVEPOINT inner_one");
  work.exec("UPDATE sensors SET revision = revision + 1 WHERE name = 'db-1'");
  work.exec("RELEASE SAVEPOINT inner_one");
  const std::string token = FirstToken();
  work.commit();
  CHECK(Watch(channel, token).UntilBookmark() == Told{"+db-1"});
}

TEST_CASE_METHOD(Fixture, "chosen sensors: changes of others are not told, and a deletion is no error") {
  const std::vector<std::string> chosen = {"web-1", "db-1"};
  plane.EnrollSensor("other-1");
  const std::string token = FirstToken(chosen);
  Contain("other-1");
  CHECK(Watch(channel, token, chosen).UntilBookmark() == Told{});
  Delete("db-1");
  Delete("other-1");
  Watch watch(channel, token, chosen);
  CHECK(watch.UntilBookmark() == Told{"-db-1"});
  Delete("web-1");
  CHECK(watch.Next().deleted());
  // All that were chosen are gone; that is not "all sensors".
  plane.EnrollSensor("late-1");
  CHECK(Watch(channel, token, chosen).UntilBookmark() == Told{"-db-1", "-web-1"});
}

TEST_CASE_METHOD(Fixture, "a name that was given again: the old one's end and the new one are both told") {
  const std::string token = FirstToken({"db-1"});
  Delete("db-1");
  const ClientIdentity again = plane.EnrollSensor("db-1");
  CHECK(Watch(channel, token, {"db-1"}).UntilBookmark() == Told{"+db-1", "-db-1"});
}

TEST_CASE_METHOD(Fixture, "more deletions than a stream may have waiting") {
  plane.database().Execute(
      "WITH made AS (INSERT INTO sensors (id, name, desired_digest, enrolled_at)"
      " SELECT gen_random_uuid(), 'bulk-' || n, decode(repeat('ab', 32), 'hex'), now()"
      " FROM generate_series(1, 700) n RETURNING id) INSERT INTO sensor_reports (sensor_id) SELECT id FROM made");
  const std::string token = FirstToken();
  plane.database().Execute(
      "WITH gone AS (DELETE FROM sensors WHERE name LIKE 'bulk-%' RETURNING id, name)"
      " INSERT INTO deleted_sensors (id, name) SELECT id, name FROM gone");
  CHECK(Watch(channel, token).UntilBookmark().size() == 700);
}

TEST_CASE_METHOD(Fixture, "a token that is none, or of another watch, is INVALID_ARGUMENT") {
  const std::string token = FirstToken();
  for (const std::string& bad : {std::string("nonsense"), token + "x", token.substr(1)}) {
    const grpc::Status status = Refusal(bad);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK(FieldIn(status) == "resume_token");
  }
  CHECK_GRPC_CODE(Refusal(token, {"web-1"}), INVALID_ARGUMENT);
}

TEST_CASE("a token that is too old, from another database or from the future is OUT_OF_RANGE with a reason") {
  const ChangeMoment now{.database = "7/00000001", .transaction = 5000, .time = absl::FromUnixSeconds(1'000'000'000)};
  const auto refused = [&](ChangeMoment token) {
    const absl::Status status = CheckResumable(token, now);
    CHECK(ReasonOf(status) == (status.ok() ? "" : "RESUME_TOKEN_EXPIRED"));
    return status.code() == absl::StatusCode::kOutOfRange;
  };
  CHECK_FALSE(refused(now));
  ChangeMoment token = now;
  token.time -= absl::Hours(24 * 7);
  CHECK_FALSE(refused(token));
  token.time -= absl::Seconds(1);
  CHECK(refused(token));
  token = now;
  token.database = "7/00000002";
  CHECK(refused(token));
  token = now;
  token.transaction = 5001;
  CHECK(refused(token));
  ChangeMoment far = now;
  far.transaction = uint64_t{1} << 40;
  token = far;
  token.transaction -= (uint64_t{1} << 31) - 1;
  CHECK(CheckResumable(token, far).ok());
  token.transaction -= 1;
  CHECK(absl::IsOutOfRange(CheckResumable(token, far)));
}

TEST_CASE_METHOD(Fixture, "the refusal of an old token reaches the caller typed") {
  const std::string token =
      EncodeResumeToken("watch-sensors/", {.database = "another", .transaction = 1, .time = absl::FromUnixSeconds(1)});
  const grpc::Status status = Refusal(token);
  CHECK_GRPC_CODE(status, OUT_OF_RANGE);
  CHECK(ReasonIn(status) == "RESUME_TOKEN_EXPIRED");
}

// ---- Rollouts ----

struct RolloutFixture : Fixture {
  std::unique_ptr<v1::RolloutService::Stub> rollouts = v1::RolloutService::NewStub(channel);
  std::string id;

  RolloutFixture() {
    TestSensor sensor(plane, web);
    sensor.Open();
    v1::CreateRolloutRequest request;
    request.set_all_sensors(true);
    request.mutable_order()->mutable_contain()->set_allow_degraded(true);
    request.mutable_limits()->set_max_in_flight(1);
    v1::CreateRolloutResponse response;
    REQUIRE_GRPC_OK(Call(*rollouts, &v1::RolloutService::Stub::CreateRollout, request, &response));
    id = response.rollout().id();
  }
  struct Reading {
    grpc::Status status;
    std::vector<v1::WatchRolloutResponse> responses;
  };
  // Everything that is sent within `limit`.
  Reading Read(const std::string& token, absl::Duration limit) {
    const auto context = Context(limit);
    v1::WatchRolloutRequest request;
    request.set_id(id);
    request.set_resume_token(token);
    const auto reader = rollouts->WatchRollout(context.get(), request);
    Reading reading;
    v1::WatchRolloutResponse response;
    while (reader->Read(&response)) reading.responses.push_back(response);
    reading.status = reader->Finish();
    return reading;
  }
};

TEST_CASE_METHOD(RolloutFixture, "a rollout is sent again only if it differs from what came with the token") {
  v1::CancelRolloutRequest cancel;
  cancel.set_id(id);
  v1::CancelRolloutResponse cancelled;
  const Reading running = Read("", absl::Seconds(2));
  REQUIRE_FALSE(running.responses.empty());
  const std::string token = running.responses.back().resume_token();
  REQUIRE_GRPC_OK(Call(*rollouts, &v1::RolloutService::Stub::CancelRollout, cancel, &cancelled));
  const Reading changed = Read(token, absl::Seconds(10));
  CHECK_GRPC_CODE(changed.status, OK);
  REQUIRE(changed.responses.size() == 1);
  CHECK(changed.responses[0].rollout().state() == v1::ROLLOUT_STATE_CANCELLED);
  // It has ended and the caller knows it: nothing to send, and no reason to wait. Also after a restart.
  const std::string last = changed.responses[0].resume_token();
  CHECK(Read(last, absl::Seconds(10)).responses.empty());
  plane.Restart();
  rollouts = v1::RolloutService::NewStub(plane.Connect(admin));
  const Reading known = Read(last, absl::Seconds(10));
  CHECK_GRPC_CODE(known.status, OK);
  CHECK(known.responses.empty());
}

TEST_CASE_METHOD(RolloutFixture, "a rollout's token that is none is refused") {
  const Reading reading = Read("nonsense", absl::Seconds(5));
  CHECK_GRPC_CODE(reading.status, INVALID_ARGUMENT);
  CHECK(FieldIn(reading.status) == "resume_token");
}

}  // namespace
}  // namespace bulkhead::controlplane::test
