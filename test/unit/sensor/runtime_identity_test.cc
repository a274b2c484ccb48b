// Renewal and refusal of the sensor's identity through the whole sensor.
#include <catch2/catch.hpp>

#include "harness/status_matchers.h"
#include "running_sensor.h"

namespace bulkhead::test {
namespace {

using Request = v1::ConnectRequest;

v1::ConnectResponse Issue(const FakeCa& ca, const std::string& csr, const std::string& sensor_id) {
  v1::ConnectResponse message;
  message.mutable_certificate_issued()->set_certificate_chain_pem(
      ca.SignSensor(csr, sensor_id, absl::Now(), absl::Now() + absl::Hours(48)));
  message.mutable_certificate_issued()->set_trust_bundle_pem(ca.trust_bundle_pem());
  return message;
}

// As if the control plane had just renewed it.
sensor::KeyAndRequest StoreRenewed(const FakeCa& ca, const sensor::IdentityStore& store) {
  const sensor::KeyAndRequest key = *sensor::MakeKeyAndRequest();
  REQUIRE_OK(store.StoreNext(
      {key.key_pem, ca.SignSensor(key.csr_der, FakeControlPlane::kSensorId, absl::Now(), absl::Now() + absl::Hours(48)),
       ca.trust_bundle_pem()}));
  return key;
}

TEST_CASE("at half of its life the certificate is renewed, used on the next connection, and then kept") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const std::string old_chain = store.Load()->credentials.chain_pem;
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Next(Request::kHello).has_value());
  const std::string old_certificate = server.last_client_certificate();
  host.clock.Advance(absl::Hours(13));
  const auto request = server.Next(Request::kRenewCertificate);
  REQUIRE(request.has_value());
  REQUIRE(server.Send(Issue(ca, request->renew_certificate().certificate_request(), FakeControlPlane::kSensorId)));
  REQUIRE(Eventually([&store] { return store.LoadNext().has_value(); }));
  CHECK(store.Load()->credentials.chain_pem == old_chain);

  v1::ConnectResponse goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::GOODBYE_REASON_SHUTDOWN);
  REQUIRE(server.Send(goodbye));
  REQUIRE(server.Next(Request::kHello).has_value());
  CHECK(server.last_client_certificate() != old_certificate);
  REQUIRE(Eventually([&store] { return !store.LoadNext().has_value(); }));
  CHECK(store.Load()->credentials.chain_pem != old_chain);
}

TEST_CASE("a certificate for another sensor, or one that nobody asked for, is not used") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const std::string old_chain = store.Load()->credentials.chain_pem;
  const RunningSensor sensor(&host, server.port());
  const sensor::KeyAndRequest stranger = *sensor::MakeKeyAndRequest();
  REQUIRE(server.Send(Issue(ca, stranger.csr_der, FakeControlPlane::kSensorId)));
  host.clock.Advance(absl::Hours(13));
  const auto request = server.Next(Request::kRenewCertificate);
  REQUIRE(request.has_value());
  REQUIRE(server.Send(
      Issue(ca, request->renew_certificate().certificate_request(), "99999999-2222-4333-8444-555555555555")));
  // The stream is still served after both.
  REQUIRE(server.Send(Push(5, true)));
  REQUIRE(server.Next(Request::kPolicyStatus).has_value());
  CHECK_FALSE(store.LoadNext().has_value());
  CHECK(store.Load()->credentials.chain_pem == old_chain);
}

TEST_CASE("a renewed certificate that is refused is dropped and the old one is used") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const sensor::KeyAndRequest key = StoreRenewed(ca, store);
  sensor::Renewer renewer(&store, *store.Load(), [] { return 0.0; });
  CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
  // A failure without a reason may be the network: old and new take turns.
  renewer.Refused("");
  CHECK(renewer.ForNextConnection().key_pem != key.key_pem);
  CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
  renewer.Refused("CERTIFICATE_INVALID");
  CHECK(renewer.ForNextConnection().key_pem != key.key_pem);
  CHECK(renewer.ForNextConnection().key_pem != key.key_pem);
  CHECK_FALSE(store.LoadNext().has_value());
}

TEST_CASE(
    "a control plane that wants another certificate gets a request at once, and the confirmation of what is stored") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Next(Request::kHello).has_value());
  v1::ConnectResponse wanted;
  wanted.mutable_heartbeat_response()->set_unchanged(true);
  wanted.mutable_heartbeat_response()->set_renew_certificate(true);
  REQUIRE(server.Send(wanted));
  const auto request = server.Next(Request::kRenewCertificate);
  REQUIRE(request.has_value());
  REQUIRE(server.Send(Issue(ca, request->renew_certificate().certificate_request(), FakeControlPlane::kSensorId)));
  REQUIRE(Eventually([&store] { return store.LoadNext().has_value(); }));
  const std::string serial = store.LoadNext()->facts.serial_hex;
  CHECK(serial.size() >= 2);
  std::optional<Request> beat;
  do {
    beat = server.Next(Request::kHeartbeat);
    REQUIRE(beat.has_value());
  } while (beat->heartbeat().stored_certificate() != serial);
  CHECK(store.Load()->facts.serial_hex != serial);
}

TEST_CASE("a connection that is lost after the next certificate was used: the old one is shown once, and never again") {
  const FakeCa ca;
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const sensor::KeyAndRequest key = StoreRenewed(ca, store);
  sensor::Renewer renewer(&store, *store.Load(), [] { return 0.0; });
  CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
  renewer.Refused("");
  CHECK(renewer.ForNextConnection().key_pem != key.key_pem);
  renewer.Refused("CERTIFICATE_SUPERSEDED");
  CHECK(renewer.HasNext());
  for (int i = 0; i < 5; ++i) {
    CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
    renewer.Refused("");
  }
  CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
  renewer.Accepted();
  CHECK(store.Load()->credentials.key_pem == key.key_pem);
  CHECK_FALSE(renewer.HasNext());
}

TEST_CASE("a renewed certificate from before the host was enrolled again is dropped when it is refused") {
  const FakeCa ca;
  Host host(ca);
  const sensor::IdentityStore store(host.state.path());
  const sensor::KeyAndRequest key = StoreRenewed(ca, store);
  sensor::Renewer renewer(&store, *store.Load(), [] { return 0.0; });
  CHECK(renewer.ForNextConnection().key_pem == key.key_pem);
  renewer.Refused("SENSOR_REVOKED");
  CHECK_FALSE(store.LoadNext().has_value());
  CHECK(renewer.ForNextConnection().key_pem != key.key_pem);
}

TEST_CASE("a revoked sensor keeps enforcing and does not hammer the control plane") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Send(Push(5, true)));
  REQUIRE(server.Next(Request::kPolicyStatus).has_value());
  server.RefuseStreams(TypedRefusal(grpc::StatusCode::UNAUTHENTICATED, "revoked", "SENSOR_REVOKED"));
  v1::ConnectResponse goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::GOODBYE_REASON_REVOKED);
  REQUIRE(server.Send(goodbye));
  CHECK_FALSE(Eventually([&server] { return server.streams_opened() > 1; }));
  CHECK(host.kernel.state().isolated());

  // Enrolled again on the host: the sensor does not wait for its slow retry.
  server.RefuseStreams(grpc::Status::OK);
  const sensor::KeyAndRequest key = *sensor::MakeKeyAndRequest();
  const std::string chain = ca.SignSensor(key.csr_der, FakeControlPlane::kSensorId, absl::Now() - absl::Minutes(1),
                                          absl::Now() + absl::Hours(24));
  REQUIRE_OK(sensor::IdentityStore(host.state.path()).Replace({key.key_pem, chain, ca.trust_bundle_pem()}));
  CHECK(server.Next(Request::kHello).has_value());
}

}  // namespace
}  // namespace bulkhead::test
