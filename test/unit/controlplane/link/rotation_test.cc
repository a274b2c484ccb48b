// The certificate authority is rotated under live sensors, with real TLS: nobody is cut off, nobody is forgotten.
#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/certificate_service.grpc.pb.h"
#include "controlplane/app/ca_commands.h"
#include "controlplane/app/stored_roots.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"
#include "grpcpp/grpcpp.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

namespace fs = std::filesystem;

// A sensor's identity as it is on its disk.
struct Held {
  ClientIdentity identity;
  std::string trust_bundle;
};

struct Fixture {
  ControlPlane plane;
  std::unique_ptr<Server> second = plane.StartReplica("second");
  Options options = plane.options();
  std::string old_bundle = plane.authority().trust_bundle_pem();

  Held Enroll(const std::string& name) { return {plane.EnrollSensor(name), old_bundle}; }

  static TestSensor SensorAt(Server& replica, const Held& held) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = held.trust_bundle;
    tls.pem_private_key = held.identity.key_pem;
    tls.pem_cert_chain = held.identity.chain_pem;
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return TestSensor(
        grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", replica.ports()[0]), grpc::SslCredentials(tls), arguments),
        absl::Seconds(60));
  }

  // As every replica does every five seconds.
  void Maintain() {
    plane.server().Maintain();
    second->Maintain();
  }

  // What the operator does on the two machines.
  void Begin() {
    REQUIRE_OK(BeginCaRotation(options));
    for (const auto& entry : fs::directory_iterator(options.state_directory + "/ca")) {
      if (!entry.is_directory()) continue;
      fs::copy(entry.path(), fs::path(options.state_directory) / "second/ca" / entry.path().filename(),
               fs::copy_options::recursive | fs::copy_options::skip_existing);
    }
    for (int i = 0; i < 3; ++i) Maintain();
    REQUIRE_OK(FollowStoredRoots(plane.store(), plane.authority()));
  }

  absl::Status Finish(bool force = false) {
    options.force = force;
    const absl::Status finished = FinishCaRotation(options);
    Maintain();
    REQUIRE_OK(FollowStoredRoots(plane.store(), plane.authority()));
    return finished;
  }

  // One heartbeat; true when the answer asks for a renewal.
  static bool Beat(TestSensor& sensor, uint64_t sequence, const std::string& stored = "") {
    v1::ConnectRequest request;
    request.mutable_heartbeat()->set_sequence(sequence);
    *request.mutable_heartbeat()->mutable_observed() = TestSensor::Observed();
    request.mutable_heartbeat()->set_stored_certificate(stored);
    REQUIRE(sensor.Send(request));
    const v1::ConnectResponse answer = sensor.Next();
    REQUIRE(answer.heartbeat_response().sequence() == sequence);
    return answer.heartbeat_response().renew_certificate();
  }

  Held Renew(TestSensor& sensor, const Held& before) {
    const KeyAndRequest fresh = MakeKeyAndRequest();
    v1::ConnectRequest request;
    request.mutable_renew_certificate()->set_certificate_request(fresh.request_der);
    REQUIRE(sensor.Send(request));
    const v1::ConnectResponse issued = sensor.Next();
    REQUIRE(issued.has_certificate_issued());
    return {{.key_pem = fresh.key_pem,
             .chain_pem = issued.certificate_issued().certificate_chain_pem(),
             .sensor_id = before.identity.sensor_id},
            issued.certificate_issued().trust_bundle_pem()};
  }

  std::string SerialOf(const Held& held) {
    return plane.database().Value(absl::StrCat("SELECT serial FROM sensor_certificates WHERE sensor_id = '",
                                               held.identity.sensor_id, "' ORDER BY number DESC LIMIT 1"));
  }

  static int Roots(const std::string& bundle) {
    int count = 0;
    for (size_t at = bundle.find("BEGIN CERT"); at != std::string::npos; at = bundle.find("BEGIN CERT", at + 1))
      ++count;
    return count;
  }
};

TEST_CASE_METHOD(Fixture, "a rotation: sensors move over their streams, none is cut, and none is left behind") {
  const Held first = Enroll("web-1");
  const Held away = Enroll("web-2");
  TestSensor live = SensorAt(*second, first);
  live.Open();
  CHECK_FALSE(Beat(live, 1));

  Begin();
  CHECK(ReasonOf(BeginCaRotation(options)) == "CA_ROTATION_RUNNING");
  // The same stream is told to renew, and its certificate comes from the new root with both in the bundle.
  CHECK(Beat(live, 2));
  const Held moved = Renew(live, first);
  CHECK(Roots(moved.trust_bundle) == 2);
  CHECK(plane.database().Value("SELECT count(DISTINCT issuer) FROM sensor_certificates") == "2");
  // It is told so until it has said that both are on disk.
  CHECK(Beat(live, 3));
  CHECK(ReasonOf(Finish()) == "CA_ROTATION_UNCONFIRMED");
  CHECK_FALSE(Beat(live, 4, SerialOf(first)));

  // One that was away shows the old certificate and trusts the old root only: served, while the overlap lasts.
  const absl::Status early = Finish();
  CHECK(ReasonOf(early) == "CA_ROTATION_UNCONFIRMED");
  CHECK(absl::StrContains(early.message(), "web-2"));
  CHECK_FALSE(absl::StrContains(early.message(), "web-1"));
  TestSensor back = SensorAt(plane.server(), away);
  back.Open();
  CHECK(Beat(back, 1));
  const Held back_moved = Renew(back, away);
  CHECK_FALSE(Beat(back, 2, SerialOf(away)));

  REQUIRE_OK(Finish());
  CHECK(ReasonOf(Finish()) == "CA_NO_ROTATION");
  // Neither stream is cut by any of it.
  Beat(live, 5);
  Beat(back, 3);
  // A certificate of the old root is refused with the reason, one of the new root is served by both replicas, also to
  // who trusts the new root alone, as soon as gRPC has read the server's new files.
  CHECK(ReasonIn(SensorAt(plane.server(), {first.identity, moved.trust_bundle}).Finish()) == "CERTIFICATE_INVALID");
  absl::SleepFor(absl::Seconds(15));
  const std::string new_root = moved.trust_bundle.substr(moved.trust_bundle.find("-----BEGIN", 1));
  REQUIRE(Roots(new_root) == 1);
  for (Server* replica : {&plane.server(), second.get()}) {
    TestSensor again = SensorAt(*replica, {moved.identity, new_root});
    again.Open();
    // The bundle still has the old root for two minutes, and is then to be replaced.
    CHECK_FALSE(Beat(again, 1));
  }
  plane.database().Execute(
      "UPDATE ca_roots SET retired_at = retired_at - interval '3 minutes' WHERE retired_at IS NOT NULL");
  Maintain();
  TestSensor last = SensorAt(plane.server(), {back_moved.identity, new_root});
  last.Open();
  CHECK(Beat(last, 1));
  CHECK(Roots(Renew(last, back_moved).trust_bundle) == 1);
}

TEST_CASE_METHOD(Fixture, "a replica without the new key issues from the old root, and the rotation waits for it") {
  REQUIRE_OK(BeginCaRotation(options));
  for (int i = 0; i < 3; ++i) Maintain();
  const absl::Status early = Finish();
  CHECK(ReasonOf(early) == "CA_ROTATION_UNCONFIRMED");
  CHECK(absl::StrContains(early.message(), "second"));
  // It accepts what the other issues all the same: trust came through the database.
  const Held held = Enroll("web-1");
  CHECK(plane.database().Value("SELECT encode(issuer, 'hex') = (SELECT encode(fingerprint, 'hex') FROM ca_roots"
                               " ORDER BY number DESC LIMIT 1) FROM sensor_certificates") == "t");
  SensorAt(*second, held).Open();
}

TEST_CASE_METHOD(Fixture, "a replica that trusts the old root alone keeps the others from issuing from the new one") {
  REQUIRE_OK(BeginCaRotation(options));
  // The second one has not looked yet.
  for (int i = 0; i < 3; ++i) plane.server().Maintain();
  const Held held = Enroll("web-1");
  CHECK(plane.database().Value("SELECT encode(issuer, 'hex') = (SELECT encode(fingerprint, 'hex') FROM ca_roots"
                               " ORDER BY number LIMIT 1) FROM sensor_certificates") == "t");
  SensorAt(*second, held).Open();
}

TEST_CASE_METHOD(Fixture, "a root that somebody wrote into the database is not believed") {
  char directory[] = "/tmp/bulkhead-foreign-ca-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  REQUIRE_OK(CertificateAuthority::Create(directory, absl::Now()));
  auto foreign = *CertificateAuthority::Open(directory);
  auto made = foreign->MakeSuccessor(absl::Now());
  REQUIRE_OK(made);
  REQUIRE_OK(foreign->Follow({foreign->current_root(), *made}, /*newest_may_issue=*/true));
  fs::remove_all(directory);
  OrderContext context;
  context.actor = "mallory";
  REQUIRE_OK(plane.store().Run(
      [&](Transaction& tx) { return orders::BeginRotation(tx, context, plane.authority().current_root(), *made); }));
  Maintain();
  const auto mallory = foreign->IssueOperator("ada", absl::Now(), absl::Hours(1));
  REQUIRE_OK(mallory);
  REQUIRE_OK(plane.store().InsertOperator({.name = "ada", .role = "admin"}, mallory->certificate.fingerprint_hex));
  auto stub = v1::SensorService::NewStub(
      plane.Connect({.key_pem = mallory->key_pem, .chain_pem = mallory->certificate.chain_pem, .sensor_id = {}}));
  v1::ListSensorsResponse response;
  CHECK(ReasonIn(Call(*stub, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &response)) ==
        "CERTIFICATE_INVALID");
  // And the control plane serves on.
  SensorAt(plane.server(), Enroll("web-1")).Open();
}

TEST_CASE_METHOD(Fixture, "forced, the rotation leaves behind who has not moved; operators get the bundle") {
  const Held held = Enroll("web-1");
  Begin();
  auto stub = v1::CertificateService::NewStub(plane.ConnectAs("viewer"));
  v1::GetTrustBundleResponse bundle;
  REQUIRE_GRPC_OK(Call(*stub, &v1::CertificateService::Stub::GetTrustBundle, v1::GetTrustBundleRequest(), &bundle));
  CHECK(Roots(bundle.trust_bundle_pem()) == 2);
  REQUIRE_OK(Finish(/*force=*/true));
  CHECK(ReasonIn(SensorAt(plane.server(), {held.identity, bundle.trust_bundle_pem()}).Finish()) ==
        "CERTIFICATE_INVALID");
  CHECK(plane.database()
            .Value("SELECT details FROM audit_log WHERE action = 'ca_rotation_finished'")
            .find("\"sensors_left_behind\":1") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "after a rotation another one can follow, and a restarted replica knows where it stands") {
  Begin();
  REQUIRE_OK(Finish());
  // The first root's key is destroyed, as it should be.
  fs::remove(options.state_directory + "/ca/ca-key.pem");
  plane.Restart();
  Maintain();
  const Held held{plane.EnrollSensor("web-1"), {}};
  Begin();
  CHECK(plane.database().Value("SELECT count(*) FROM ca_roots WHERE retired_at IS NULL") == "2");
}

}  // namespace
}  // namespace bulkhead::controlplane::test
