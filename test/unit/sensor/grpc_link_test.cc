// The stream against a real gRPC server with mutual TLS on loopback.
#include "sensor/link/grpc_link.h"

#include <catch2/catch.hpp>
#include <deque>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "harness/fake_control_plane.h"
#include "harness/status_matchers.h"
#include "sensor/link/enroll_client.h"
#include "sensor/store/x509.h"

namespace bulkhead::sensor {
namespace {

using test::FakeControlPlane;

// Collects what the link says.
class Sink {
 public:
  void Put(LinkMessage message) {
    absl::MutexLock lock(&mutex_);
    messages_.push_back(std::move(message));
  }

  // The next message of this kind, others being dropped; fails the test after 5 s.
  template <typename T>
  T Next() {
    const absl::Time deadline = absl::Now() + absl::Seconds(5);
    absl::MutexLock lock(&mutex_);
    const auto has_one = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !messages_.empty(); };
    while (mutex_.AwaitWithDeadline(absl::Condition(&has_one), deadline)) {
      LinkMessage message = std::move(messages_.front());
      messages_.pop_front();
      if (auto* wanted = std::get_if<T>(&message); wanted != nullptr) return std::move(*wanted);
    }
    FAIL("the link did not say what was expected within 5 s");
    return T{};
  }

 private:
  absl::Mutex mutex_;
  std::deque<LinkMessage> messages_ ABSL_GUARDED_BY(mutex_);
};

class Fixture {
 public:
  Fixture() : server(&ca) {
    const KeyAndRequest key = *MakeKeyAndRequest();
    credentials = {key.key_pem,
                   ca.SignSensor(key.csr_der, FakeControlPlane::kSensorId, absl::Now() - absl::Hours(1),
                                 absl::Now() + absl::Hours(1)),
                   ca.trust_bundle_pem()};
  }

  std::unique_ptr<GrpcLink> Link(const std::string& host, std::vector<ResolvedHost> known = {}) {
    GrpcLinkOptions options;
    options.control_planes = {{host, static_cast<uint16_t>(server.port())}};
    options.known = std::move(known);
    options.resolve_timeout = absl::Seconds(2);
    options.uniform = [] { return 0.0; };
    return std::make_unique<GrpcLink>(options, [this](LinkMessage message) { sink.Put(std::move(message)); });
  }

  test::FakeCa ca;
  FakeControlPlane server;
  Credentials credentials;
  Sink sink;
};

HelloMessage Hello() {
  HelloMessage hello;
  hello.host.hostname = "testhost";
  hello.observed.receipt.generation = 3;
  return hello;
}

TEST_CASE("hello, welcome, a push, an answer and a goodbye over mutual TLS") {
  Fixture f;
  auto link = f.Link("localhost");
  link->Connect(f.credentials);
  const auto resolved = f.sink.Next<LinkResolved>();
  REQUIRE_FALSE(EndpointsOf(resolved.hosts).empty());
  link->Open(Hello());
  const auto welcome = f.sink.Next<LinkWelcome>();
  CHECK(welcome.heartbeat_interval == absl::Seconds(1));
  CHECK(welcome.replica_id == "test");
  const auto hello = f.server.Next(v1::ConnectRequest::kHello);
  REQUIRE(hello.has_value());
  CHECK(hello->hello().host().hostname() == "testhost");
  CHECK(hello->hello().observed().receipt().generation() == 3);
  CHECK(absl::StrContains(f.server.last_client_certificate(), "BEGIN CERTIFICATE"));

  v1::ConnectResponse push;
  push.mutable_heartbeat_response()->mutable_desired_state()->set_generation(9);
  REQUIRE(f.server.Send(push));
  const auto desired = f.sink.Next<LinkDesiredState>();
  CHECK(desired.generation == 9);
  CHECK_CODE(desired.state, kInvalidArgument);

  CHECK(link->Send(HeartbeatMessage{1}));
  CHECK(f.server.Next(v1::ConnectRequest::kHeartbeat).has_value());
  CHECK(link->Send(GoodbyeMessage{"bye"}));
  CHECK(f.server.Next(v1::ConnectRequest::kGoodbye).has_value());
  CHECK_CODE(f.sink.Next<LinkDown>().status, kUnavailable);
  CHECK_FALSE(link->Send(HeartbeatMessage{2}));
}

TEST_CASE("a typed refusal reaches the loop with its reason") {
  Fixture f;
  f.server.RefuseStreams(test::TypedRefusal(grpc::StatusCode::UNAUTHENTICATED, "revoked", "SENSOR_REVOKED"));
  auto link = f.Link("127.0.0.1");
  link->Connect(f.credentials);
  f.sink.Next<LinkResolved>();
  link->Open(Hello());
  const auto down = f.sink.Next<LinkDown>();
  CHECK(down.reason == "SENSOR_REVOKED");
  CHECK_CODE(down.status, kUnauthenticated);
}

TEST_CASE("a server that nobody we trust has signed is not talked to") {
  Fixture f;
  const test::FakeCa stranger;
  f.credentials.trust_bundle_pem = stranger.trust_bundle_pem();
  auto link = f.Link("127.0.0.1");
  link->Connect(f.credentials);
  f.sink.Next<LinkResolved>();
  link->Open(Hello());
  CHECK_CODE(f.sink.Next<LinkDown>().status, kUnavailable);
  CHECK(f.server.streams_opened() == 0);
}

TEST_CASE("the certificate must be for the configured name, not for the address behind it") {
  Fixture f;
  const HostPort name{"cp.invalid", static_cast<uint16_t>(f.server.port())};
  auto link = f.Link("cp.invalid", {{name, {{*IpPrefix::Parse("127.0.0.1"), name.port}}}});
  link->Connect(f.credentials);
  // The name does not resolve: the address of an earlier run is used.
  REQUIRE(EndpointsOf(f.sink.Next<LinkResolved>().hosts).size() == 1);
  link->Open(Hello());
  CHECK_CODE(f.sink.Next<LinkDown>().status, kUnavailable);
  CHECK(f.server.streams_opened() == 0);
}

TEST_CASE("without any address the attempt ends by itself") {
  Fixture f;
  auto link = f.Link("cp.invalid");
  link->Connect(f.credentials);
  CHECK(f.sink.Next<LinkResolved>().hosts.empty());
  CHECK(absl::StrContains(f.sink.Next<LinkDown>().status.message(), "cp.invalid"));
}

TEST_CASE("a stream that does not open with Welcome is ended, and so is one with garbage in it") {
  v1::ConnectResponse no_welcome;
  no_welcome.mutable_event_ack();
  v1::ConnectResponse twice;
  twice.mutable_welcome()->set_heartbeat_interval_seconds(1);
  const v1::ConnectResponse empty;
  for (const v1::ConnectResponse* late :
       {static_cast<const v1::ConnectResponse*>(nullptr), static_cast<const v1::ConnectResponse*>(&twice), &empty}) {
    Fixture f;
    if (late == nullptr) f.server.OpenWith(no_welcome);
    auto link = f.Link("127.0.0.1");
    link->Connect(f.credentials);
    f.sink.Next<LinkResolved>();
    link->Open(Hello());
    if (late != nullptr) {
      f.sink.Next<LinkWelcome>();
      REQUIRE(f.server.Send(*late));
    }
    CHECK_CODE(f.sink.Next<LinkDown>().status, kInvalidArgument);
  }
}

TEST_CASE("a server that goes away ends the stream, and the next attempt works") {
  Fixture f;
  auto link = f.Link("127.0.0.1");
  for (int i = 0; i < 2; ++i) {
    link->Connect(f.credentials);
    f.sink.Next<LinkResolved>();
    link->Open(Hello());
    f.sink.Next<LinkWelcome>();
    f.server.Stop();
    CHECK_FALSE(f.sink.Next<LinkDown>().status.ok());
    f.server.Start();
  }
}

TEST_CASE("closing and destroying work at every stage") {
  Fixture f;
  f.Link("127.0.0.1");
  auto resolved = f.Link("127.0.0.1");
  resolved->Connect(f.credentials);
  f.sink.Next<LinkResolved>();
  resolved->Close(absl::DeadlineExceededError("too slow"));
  CHECK_CODE(f.sink.Next<LinkDown>().status, kDeadlineExceeded);
  resolved->Connect(f.credentials);
  f.sink.Next<LinkResolved>();
  resolved->Open(Hello());
  f.sink.Next<LinkWelcome>();
  resolved->Close(absl::DeadlineExceededError("silent"));
  CHECK_CODE(f.sink.Next<LinkDown>().status, kDeadlineExceeded);
  resolved->Connect(f.credentials);
  f.sink.Next<LinkResolved>();
  resolved.reset();
}

TEST_CASE("enrollment: a good token gives an identity, a bad one a typed refusal") {
  Fixture f;
  const KeyAndRequest key = *MakeKeyAndRequest();
  EnrollRequest request{{"localhost", static_cast<uint16_t>(f.server.port())},
                        f.ca.trust_bundle_pem(),
                        FakeControlPlane::kToken,
                        "web-1",
                        key.csr_der};
  const auto answer = Enroll(request, absl::Seconds(10));
  REQUIRE_OK(answer);
  CHECK(answer->name == "web-1");
  const auto facts = CheckIdentity(key.key_pem, answer->chain_pem, answer->trust_bundle_pem);
  REQUIRE_OK(facts);
  CHECK(facts->sensor_id == answer->sensor_id);

  request.token = "wrong";
  CHECK_CODE(Enroll(request, absl::Seconds(10)), kUnauthenticated);
  f.server.Stop();
  CHECK_CODE(Enroll(request, absl::Seconds(2)), kUnavailable);
}

}  // namespace
}  // namespace bulkhead::sensor
