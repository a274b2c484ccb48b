// Starts the server on a free port of the loopback, and makes certificates for its clients.
#include "unit/controlplane/api/control_plane_fixture.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane::test {

ControlPlane::ControlPlane(std::function<void(Options&)> adjust) : adjust_(std::move(adjust)) {
  REQUIRE(mkdtemp(directory_.data()) != nullptr);
  const std::string ca = directory_ + "/ca";
  std::filesystem::create_directory(ca);
  REQUIRE_OK(CertificateAuthority::Create(ca, absl::Now()));
  auto authority = CertificateAuthority::Open(ca);
  REQUIRE_OK(authority);
  authority_ = *std::move(authority);
  store_ = database_.Open(2);
  Restart();
}

ControlPlane::~ControlPlane() {
  server_.reset();
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Options ControlPlane::MakeOptions() const {
  Options options;
  options.state_directory = directory_;
  options.postgres = database_.connection_string();
  options.listen = {"127.0.0.1:0"};
  options.server_names = {"127.0.0.1"};
  options.replica_id = "test-replica";
  options.heartbeat_interval = absl::Seconds(30);
  adjust_(options);
  return options;
}

void ControlPlane::Restart() {
  server_.reset();
  auto server = Server::Create(MakeOptions());
  REQUIRE_OK(server);
  server_ = *std::move(server);
}

std::unique_ptr<Server> ControlPlane::StartReplica(const std::string& name) const {
  Options options = MakeOptions();
  options.replica_id = name;
  options.state_directory = absl::StrCat(directory_, "/", name);
  std::filesystem::create_directory(options.state_directory);
  std::filesystem::copy(directory_ + "/ca", options.state_directory + "/ca", std::filesystem::copy_options::recursive);
  auto server = Server::Create(options);
  REQUIRE_OK(server);
  return *std::move(server);
}

std::shared_ptr<grpc::Channel> ControlPlane::Connect(const ClientIdentity& identity) const {
  return ConnectTo(*server_, identity);
}

std::shared_ptr<grpc::Channel> ControlPlane::ConnectTo(Server& replica, const ClientIdentity& identity) const {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = authority_->trust_bundle_pem();
  tls.pem_private_key = identity.key_pem;
  tls.pem_cert_chain = identity.chain_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", replica.ports()[0]), grpc::SslCredentials(tls),
                                   arguments);
}

ClientIdentity ControlPlane::MakeOperator(const std::string& name, const std::string& role) const {
  const auto identity = authority_->IssueOperator(name, absl::Now(), absl::Hours(1));
  REQUIRE_OK(identity);
  REQUIRE_OK(store_->InsertOperator({.name = name, .role = role}, identity->certificate.fingerprint_hex));
  return {.key_pem = identity->key_pem, .chain_pem = identity->certificate.chain_pem, .sensor_id = {}};
}

std::shared_ptr<grpc::Channel> ControlPlane::ConnectAs(const std::string& role) const {
  static std::atomic<int> count = 0;
  return Connect(MakeOperator(absl::StrCat(role, "-", ++count), role));
}

std::string ControlPlane::MakeToken(const std::string& reenroll) const {
  auto stub = v1::EnrollmentService::NewStub(ConnectAs("admin"));
  v1::CreateEnrollmentTokenRequest request;
  request.set_reenroll_sensor(reenroll);
  v1::CreateEnrollmentTokenResponse response;
  REQUIRE_GRPC_OK(Call(*stub, &v1::EnrollmentService::Stub::CreateEnrollmentToken, request, &response));
  return response.secret();
}

ClientIdentity ControlPlane::EnrollSensor(const std::string& name, const std::string& reenroll) const {
  const KeyAndRequest made = MakeKeyAndRequest();
  v1::EnrollRequest request;
  request.set_token(MakeToken(reenroll));
  request.set_name(name);
  request.set_certificate_request(made.request_der);
  v1::EnrollResponse response;
  auto stub = v1::EnrollmentService::NewStub(Connect());
  REQUIRE_GRPC_OK(Call(*stub, &v1::EnrollmentService::Stub::Enroll, request, &response));
  return {.key_pem = made.key_pem, .chain_pem = response.certificate_chain_pem(), .sensor_id = response.sensor_id()};
}

namespace {

template <typename T>
T DetailOf(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  T wanted;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&wanted)) break;
  }
  return wanted;
}

}  // namespace

std::string ReasonIn(const grpc::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status).reason();
}

std::string FieldIn(const grpc::Status& status) {
  const auto bad = DetailOf<google::rpc::BadRequest>(status);
  return bad.field_violations().empty() ? "" : bad.field_violations(0).field();
}

std::string Show(const grpc::Status& status) {
  return absl::StrCat("code ", static_cast<int>(status.error_code()), ": ", status.error_message(), " (",
                      ReasonIn(status), ")");
}

std::unique_ptr<grpc::ClientContext> Context(absl::Duration limit) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + limit));
  return context;
}

}  // namespace bulkhead::controlplane::test
