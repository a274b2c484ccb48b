// The handshake: TLS 1.3 only, and a client without a certificate gets in far enough to be told what is wrong.
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "common/unique_fd.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

// Version that a handshake with at most `highest` agrees on; 0 when it fails.
int Handshake(uint16_t port, int highest) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  REQUIRE(SSL_CTX_set_max_proto_version(context.get(), highest) == 1);
  // Everything that OpenSSL has, so that the refusal is the server's.
  REQUIRE(SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0") == 1);
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(tls.get(), kHttp2, sizeof(kHttp2));
  SSL_set_fd(tls.get(), socket.get());
  return SSL_connect(tls.get()) == 1 ? SSL_version(tls.get()) : 0;
}

TEST_CASE("only TLS 1.3 is spoken") {
  ControlPlane plane;
  const uint16_t port = plane.server().ports()[0];
  CHECK(Handshake(port, TLS1_3_VERSION) == TLS1_3_VERSION);
  CHECK(Handshake(port, TLS1_2_VERSION) == 0);
  CHECK(Handshake(port, TLS1_1_VERSION) == 0);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
