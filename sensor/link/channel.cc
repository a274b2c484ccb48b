// How the sensor dials.
#include "sensor/link/channel.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

// A desired state of 100 000 isolation rules is about 10 MB.
constexpr int kLargestMessage = 32 << 20;
constexpr int kKeepaliveMillis = 20000;
constexpr int kKeepaliveTimeoutMillis = 10000;
constexpr int kDialTimeoutMillis = 10000;

}  // namespace

// TLS 1.3 is the control plane's demand: gRPC 1.51 has no public way for a client to refuse 1.2.
std::shared_ptr<grpc::Channel> MakeChannel(const HostPort& name, const ControlPlaneEndpoint& endpoint,
                                           const Credentials& credentials) {
  grpc::ChannelArguments args;
  // The address was pinned while the name could still be resolved; the certificate is checked against the name.
  args.SetSslTargetNameOverride(name.host);
  args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, ToString(name));
  // A proxy would not be the address that the wall is open for.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // With gRPC's defaults a frozen peer is never noticed: pings stop after two without data.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Each attempt is a connection of its own, made with the credentials it was given; the sensor does its own backoff.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kDialTimeoutMillis);
  args.SetMaxReceiveMessageSize(kLargestMessage);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = credentials.trust_bundle_pem;
  tls.pem_private_key = credentials.key_pem;
  tls.pem_cert_chain = credentials.chain_pem;
  const std::string address = endpoint.address.ToString();
  const std::string target = endpoint.address.is_ipv6() ? absl::StrCat("ipv6:[", address, "]:", endpoint.port)
                                                        : absl::StrCat("ipv4:", address, ":", endpoint.port);
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), args);
}

LinkDown DownFromStatus(const grpc::Status& status) {
  LinkDown down;
  if (status.ok()) {
    down.status = absl::UnavailableError("the control plane ended the stream");
    return down;
  }
  down.status = absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return down;
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) down.reason = info.reason();
    if (detail.UnpackTo(&retry)) down.retry_after = absl::Seconds(retry.retry_delay().seconds());
  }
  return down;
}

}  // namespace bulkhead::sensor
