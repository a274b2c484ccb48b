// A new connection proved over real TCP and TLS on loopback: works, refused, silent, and not the control plane.
#include "sensor/link/grpc_prover.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/unique_fd.h"
#include "harness/fake_control_plane.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "sensor/store/identity_store.h"
#include "sensor/store/x509.h"

namespace bulkhead::sensor {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(4);

Credentials CredentialsFrom(const test::FakeCa& ca) {
  const KeyAndRequest key = *MakeKeyAndRequest();
  const std::string chain = ca.SignSensor(key.csr_der, test::FakeControlPlane::kSensorId,
                                          absl::Now() - absl::Minutes(1), absl::Now() + absl::Hours(1));
  return {key.key_pem, chain, ca.trust_bundle_pem()};
}

std::vector<ResolvedHost> Loopback(std::vector<int> ports) {
  std::vector<ResolvedHost> hosts;
  for (const int port : ports) {
    const auto number = static_cast<uint16_t>(port);
    hosts.push_back({{"localhost", number}, {{*IpPrefix::Parse("127.0.0.1"), number}}});
  }
  return hosts;
}

// A port of loopback that is bound; with `listening` the kernel takes connections and nobody speaks.
struct MutePort {
  explicit MutePort(bool listening) : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(socket.get(), generic, size) == 0);
    REQUIRE(getsockname(socket.get(), generic, &size) == 0);
    if (listening) REQUIRE(listen(socket.get(), 8) == 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd socket;
  int port = 0;
};

TEST_CASE("a control plane that takes new connections is reached, also behind addresses that are dead") {
  const test::FakeCa ca;
  test::FakeControlPlane server(&ca);
  const MutePort closed(false);
  GrpcProver prover;
  const ConnectionProof proof = prover.Prove(Loopback({closed.port, server.port()}), CredentialsFrom(ca), kTimeout);
  INFO(proof.detail);
  CHECK(proof.seen == Reachability::kConnected);
  CHECK(absl::StrContains(proof.detail, "a new TLS session"));
}

TEST_CASE("a closed port answers, and a control plane that is somebody else answers too") {
  const test::FakeCa ca;
  const test::FakeCa stranger;
  test::FakeControlPlane server(&stranger);
  const MutePort closed(false);
  GrpcProver prover;
  const ConnectionProof refused = prover.Prove(Loopback({closed.port}), CredentialsFrom(ca), kTimeout);
  INFO(refused.detail);
  CHECK(refused.seen == Reachability::kAnswered);
  const ConnectionProof foreign = prover.Prove(Loopback({server.port()}), CredentialsFrom(ca), kTimeout);
  INFO(foreign.detail);
  CHECK(foreign.seen == Reachability::kAnswered);
  CHECK(absl::StrContains(foreign.detail, "TLS does not"));
}

TEST_CASE("a peer that takes the connection and says nothing more has answered, in bounded time") {
  const test::FakeCa ca;
  const MutePort mute(true);
  GrpcProver prover;
  const absl::Time start = absl::Now();
  const ConnectionProof proof = prover.Prove(Loopback({mute.port}), CredentialsFrom(ca), absl::Seconds(1));
  INFO(proof.detail);
  CHECK(proof.seen == Reachability::kAnswered);
  CHECK(absl::Now() - start < absl::Seconds(3));
}

TEST_CASE("without an address nothing is proved") {
  GrpcProver prover;
  const ConnectionProof proof = prover.Prove({}, {}, kTimeout);
  CHECK(proof.seen == Reachability::kSilent);
  CHECK(absl::StrContains(proof.detail, "no address"));
}

}  // namespace
}  // namespace bulkhead::sensor
