// Events from the sensor's stream to whoever asks: stored before they are acknowledged, once, and watched without a
// gap.
#include <catch2/catch.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/event_service.grpc.pb.h"
#include "common/uuid.h"
#include "controlplane/domain/event.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

using Service = v1::EventService::Stub;

v1::ConnectRequest Batch(uint64_t first, uint64_t last, v1::EventKind kind = v1::EVENT_KIND_EXEC_DENIED) {
  v1::ConnectRequest request;
  for (uint64_t i = first; i <= last; ++i) {
    v1::Event& event = *request.mutable_event_batch()->add_events();
    event.set_sequence(i);
    event.set_kind(kind);
    event.set_comm("sh");
    event.set_detail(absl::StrCat("event ", i));
  }
  return request;
}

struct Fixture {
  explicit Fixture(std::function<void(Options&)> adjust = [](Options&) {}) : plane(std::move(adjust)) {}

  ControlPlane plane;
  ClientIdentity identity = plane.EnrollSensor("web-1");
  ClientIdentity viewer = plane.MakeOperator("vera", "viewer");
  std::unique_ptr<Service> events = v1::EventService::NewStub(plane.Connect(viewer));
  const std::string run = NewUuid();

  // A stream of the sensor's one run.
  std::unique_ptr<TestSensor> Connect(Server& replica) {
    auto sensor = std::make_unique<TestSensor>(plane.ConnectTo(replica, identity));
    sensor->run_id = run;
    sensor->Open();
    return sensor;
  }
  std::string Stored() {
    return plane.database().Value("SELECT string_agg(sequence::text, ' ' ORDER BY id) FROM events");
  }
  bool StoredWithin(const std::string& wanted, absl::Duration limit) {
    const absl::Time end = absl::Now() + limit;
    while (Stored() != wanted && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
    return Stored() == wanted;
  }
};

struct Watch {
  Watch(Service& stub, const v1::WatchEventsRequest& request) : reader(stub.WatchEvents(context.get(), request)) {}
  ~Watch() {
    context->TryCancel();
    if (!ended) reader->Finish();
  }
  v1::WatchEventsResponse Next() {
    v1::WatchEventsResponse response;
    REQUIRE(reader->Read(&response));
    token = response.resume_token();
    return response;
  }
  // The next that has an event.
  v1::StoredEvent NextEvent() {
    v1::WatchEventsResponse response = Next();
    while (!response.has_event()) response = Next();
    return response.event();
  }
  grpc::Status End() {
    v1::WatchEventsResponse response;
    while (reader->Read(&response)) continue;
    ended = true;
    return reader->Finish();
  }

  std::unique_ptr<grpc::ClientContext> context = Context();
  std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader;
  std::string token;
  bool ended = false;
};

TEST_CASE("every kind of event has a limit of its own") {
  for (int i = 0; i < v1::EventKind_descriptor()->value_count(); ++i) {
    const int kind = v1::EventKind_descriptor()->value(i)->number();
    CHECK(EventBucket(kind) == kind);
  }
}

TEST_CASE_METHOD(Fixture, "an event that is acknowledged is stored, and a viewer finds it by each of its marks") {
  const auto sensor = Connect(plane.server());
  v1::ConnectRequest request = Batch(1, 2);
  v1::Event& event = *request.mutable_event_batch()->mutable_events(1);
  event.mutable_time()->set_seconds(1790000000);
  event.set_policy_id("22222222-2222-4222-8222-222222222222");
  event.set_pid(4242);
  event.set_uid(1000);
  event.set_parent_pid(1);
  event.set_parent_comm("init");
  event.set_cgroup("/system.slice/x.scope");
  event.set_container("0123456789ab");
  event.set_detail(std::string(5000, 'x') + "\xc3\xa9");
  sensor->Send(request);
  REQUIRE(sensor->Next().event_ack().through_sequence() == 2);
  CHECK(Stored() == "1 2");

  const auto list = [&](const v1::ListEventsRequest& wanted) {
    v1::ListEventsResponse response;
    REQUIRE_GRPC_OK(Call(*events, &Service::ListEvents, wanted, &response));
    return response;
  };
  v1::ListEventsRequest wanted;
  wanted.set_sensor("web-1");
  wanted.set_policy_id("22222222-2222-4222-8222-222222222222");
  wanted.set_kind(v1::EVENT_KIND_EXEC_DENIED);
  const v1::ListEventsResponse found = list(wanted);
  REQUIRE(found.events_size() == 1);
  CHECK(found.events(0).sensor_id() == identity.sensor_id);
  CHECK(found.events(0).event().time().seconds() == 1790000000);
  CHECK(found.events(0).event().uid() == 1000);
  CHECK(found.events(0).event().container() == "0123456789ab");
  CHECK(found.events(0).event().detail() == std::string(1024, 'x'));
  wanted.set_kind(v1::EVENT_KIND_CONNECT_DENIED);
  CHECK(list(wanted).events_size() == 0);
  v1::ListEventsRequest page;
  page.set_page_size(1);
  const v1::ListEventsResponse first = list(page);
  CHECK(first.events(0).event().sequence() == 2);
  page.set_page_token(first.next_page_token());
  CHECK(list(page).events(0).event().sequence() == 1);
}

TEST_CASE_METHOD(Fixture, "bad requests name the field") {
  const auto field = [&](const v1::ListEventsRequest& request) {
    v1::ListEventsResponse response;
    return FieldIn(Call(*events, &Service::ListEvents, request, &response));
  };
  v1::ListEventsRequest request;
  request.set_policy_id("no id");
  CHECK(field(request) == "policy_id");
  request.Clear();
  request.set_page_size(1001);
  CHECK(field(request) == "page_size");
  request.Clear();
  request.set_page_token("junk");
  CHECK(field(request) == "page_token");
  request.Clear();
  request.mutable_since()->set_seconds(2);
  request.mutable_until()->set_seconds(1);
  CHECK(field(request) == "until");
  request.Clear();
  request.set_sensor("no-such-sensor");
  v1::ListEventsResponse response;
  CHECK_GRPC_CODE(Call(*events, &Service::ListEvents, request, &response), NOT_FOUND);

  v1::WatchEventsRequest watch;
  watch.set_resume_token("junk");
  const grpc::Status junk = Watch(*events, watch).End();
  CHECK_GRPC_CODE(junk, INVALID_ARGUMENT);
  CHECK(FieldIn(junk) == "resume_token");
}

TEST_CASE_METHOD(Fixture,
                 "a replica that dies between storing and acknowledging: the sensor sends again, stored once") {
  {
    const auto sensor = Connect(plane.server());
    sensor->Send(Batch(1, 3));
    REQUIRE(StoredWithin("1 2 3", absl::Seconds(5)));
    // The acknowledgement is not read: for the sensor it never came.
  }
  const auto second = plane.StartReplica("second-replica");
  const auto sensor = Connect(*second);
  sensor->Send(Batch(1, 4));
  REQUIRE(sensor->Next().event_ack().through_sequence() == 4);
  sensor->Send(Batch(1, 4));
  CHECK(sensor->Next().event_ack().through_sequence() == 4);
  CHECK(Stored() == "1 2 3 4");
  CHECK(plane.database().Value("SELECT sum(lost_before) FROM events") == "0");
}

TEST_CASE_METHOD(Fixture, "while the database is away events wait, in order, and are acknowledged when it is back") {
  const auto sensor = Connect(plane.server());
  const auto back = absl::MakeCleanup([&] { plane.database().ExecuteAsSuperuser("ALTER ROLE bulkhead LOGIN"); });
  plane.database().ExecuteAsSuperuser("ALTER ROLE bulkhead NOLOGIN");
  plane.database().ExecuteAsSuperuser(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bulkhead'");
  sensor->Send(Batch(1, 2));
  sensor->Send(Batch(3, 4));
  absl::SleepFor(absl::Seconds(1));
  plane.database().ExecuteAsSuperuser("ALTER ROLE bulkhead LOGIN");
  CHECK(sensor->Next().event_ack().through_sequence() == 2);
  CHECK(sensor->Next().event_ack().through_sequence() == 4);
  CHECK(Stored() == "1 2 3 4");
  CHECK(plane.database().Value("SELECT sum(lost_before) FROM events") == "0");
}

TEST_CASE("a flood is acknowledged and cut at the limit, and the counts say so") {
  Fixture fixture([](Options& options) { options.event_limit = 3; });
  const auto sensor = fixture.Connect(fixture.plane.server());
  sensor->Send(Batch(3, 20));
  CHECK(sensor->Next().event_ack().through_sequence() == 20);
  CHECK(fixture.Stored() == "3 4 5");
  v1::ListEventCountsRequest request;
  request.set_sensor("web-1");
  v1::ListEventCountsResponse counts;
  REQUIRE_GRPC_OK(Call(*fixture.events, &Service::ListEventCounts, request, &counts));
  REQUIRE(counts.counts_size() == 1);
  CHECK(counts.counts(0).stored() == 3);
  CHECK(counts.counts(0).refused() == 15);
  CHECK(counts.counts(0).lost() == 2);
  CHECK(counts.counts(0).sensor_name() == "web-1");
}

TEST_CASE_METHOD(Fixture,
                 "a watch sees what either replica stores, and goes on at the other without gap or repetition") {
  const auto second = plane.StartReplica("second-replica");
  const auto sensor = Connect(*second);
  sensor->Send(Batch(1, 2));
  REQUIRE(sensor->Next().has_event_ack());
  std::string token;
  {
    Watch news(*events, {});
    CHECK_FALSE(news.Next().has_event());  // where it begins
    const absl::Time sent = absl::Now();
    sensor->Send(Batch(3, 4));
    CHECK(news.NextEvent().event().sequence() == 3);
    CHECK(absl::Now() - sent < absl::Seconds(4));
    token = news.token;
  }
  sensor->Send(Batch(5, 300 - 50));
  REQUIRE(sensor->Next().has_event_ack());
  REQUIRE(sensor->Next().has_event_ack());
  const auto other = v1::EventService::NewStub(plane.ConnectTo(*second, viewer));
  v1::WatchEventsRequest resumed;
  resumed.set_resume_token(token);
  Watch rest(*other, resumed);
  for (uint64_t i = 4; i <= 250; ++i) REQUIRE(rest.NextEvent().event().sequence() == i);
  // At the replica that stores them, at once.
  const absl::Time sent = absl::Now();
  sensor->Send(Batch(251, 251));
  CHECK(rest.NextEvent().event().sequence() == 251);
  CHECK(absl::Now() - sent < absl::Seconds(2));

  resumed.set_kind(v1::EVENT_KIND_TAMPER);
  CHECK(FieldIn(Watch(*other, resumed).End()) == "resume_token");
  resumed.set_kind(v1::EVENT_KIND_UNSPECIFIED);
  resumed.mutable_since()->set_seconds(1);
  CHECK(FieldIn(Watch(*other, resumed).End()) == "since");
}

TEST_CASE_METHOD(Fixture, "a watch since some time begins with what is stored, by its filters") {
  const auto sensor = Connect(plane.server());
  sensor->Send(Batch(1, 2));
  REQUIRE(sensor->Next().has_event_ack());
  sensor->Send(Batch(3, 3, v1::EVENT_KIND_TAMPER));
  REQUIRE(sensor->Next().has_event_ack());
  v1::WatchEventsRequest request;
  request.mutable_since()->set_seconds(absl::ToUnixSeconds(absl::Now()) - 3600);
  request.set_kind(v1::EVENT_KIND_TAMPER);
  request.set_sensor("web-1");
  Watch watch(*events, request);
  CHECK(watch.NextEvent().event().sequence() == 3);
  sensor->Send(Batch(4, 4));
  sensor->Send(Batch(5, 5, v1::EVENT_KIND_TAMPER));
  CHECK(watch.NextEvent().event().sequence() == 5);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
