// Several replicas of the real control plane on one real PostgreSQL, each behind a network that can be cut.
#include "e2e/fleet/cluster.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "e2e/sandbox.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(60);
constexpr size_t kLogEnd = 4000;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

bool Listens(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  const bool listens = connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  close(fd);
  return listens;
}

}  // namespace

Cluster::Cluster(const Options& options) : options_(options), directory_(MakeTempDirectory()) {
  // First of all: it forks.
  replicas_.resize(static_cast<size_t>(options.replicas));
  for (Replica& replica : replicas_) {
    if (options.wires) replica.wire = std::make_unique<Wire>();
  }
  if (options.database.empty()) postgres_ = std::make_unique<Postgres>(directory_);
  database_ = postgres_ ? postgres_->url() : options.database;
  for (int i = 0; i < options.replicas; ++i) {
    Replica& replica = replicas_[i];
    replica.state = directory_ + "/replica-" + std::to_string(i);
    replica.log = replica.state + ".log";
    const int port = FreePort();
    replica.address = "127.0.0.1:" + std::to_string(port);
    replica.proxy = std::make_unique<Proxy>(port, replica.wire.get());
    if (i == 0) {
      const Result made = Run(ControlPlane(replica, {"init"}));
      if (made.exit_code != 0) throw std::runtime_error("making the CA failed: " + made.err);
    } else {
      std::filesystem::create_directory(replica.state);
      std::filesystem::copy(replicas_[0].state + "/ca", replica.state + "/ca");
    }
    StartReplica(i);
  }
  const std::string out = directory_ + "/admin";
  const Result issued =
      Run(ControlPlane(replicas_[0], {"issue-operator", "--postgres=" + database_, "--name", "admin", "--role", "admin",
                                      "--out", out, "--server", replicas_[0].address}));
  if (issued.exit_code != 0) throw std::runtime_error("issuing an operator failed: " + issued.err);
  trust_bundle_ = ReadAll(out + "/ca.pem");
  operator_key_ = ReadAll(out + "/key.pem");
  operator_chain_ = ReadAll(out + "/cert.pem");
}

Cluster::~Cluster() {
  replicas_.clear();
  postgres_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Arguments Cluster::ControlPlane(const Replica& replica, const Arguments& arguments) const {
  Arguments whole = {Program("bulkhead-controlplane")};
  whole.insert(whole.end(), arguments.begin(), arguments.end());
  whole.insert(whole.end(), {"--state", replica.state});
  return whole;
}

void Cluster::StartReplica(int i) {
  Replica& replica = replicas_[i];
  Arguments serve = {"serve",
                     "--postgres=" + database_,
                     "--listen",
                     replica.address,
                     "--server-name",
                     "127.0.0.1",
                     "--heartbeat-interval",
                     options_.heartbeat_interval,
                     "--replica-id",
                     "replica-" + std::to_string(i)};
  if (replica.wire) {
    const std::string port = replica.address.substr(replica.address.find(':'));
    serve.insert(serve.end(), {"--listen", replica.wire->near_address() + port});
  }
  serve.insert(serve.end(), options_.more_arguments.begin(), options_.more_arguments.end());
  replica.daemon = std::make_unique<Daemon>(ControlPlane(replica, serve), replica.log);
  const bool up = Eventually(kStartLimit, [&] { return Listens(replica.address) || !replica.daemon->Running(); });
  if (!up || !replica.daemon->Running()) throw std::runtime_error("a control plane did not start" + Logs());
}

std::shared_ptr<grpc::Channel> Cluster::OperatorChannel(const std::string& address) const {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = trust_bundle_;
  tls.pem_private_key = operator_key_;
  tls.pem_cert_chain = operator_chain_;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(tls), arguments);
}

std::string Cluster::ReplicaLog(int i) const {
  return ReadAll(replicas_[i].log);
}

std::string Cluster::Logs() const {
  std::string text;
  std::vector<std::string> logs = {directory_ + "/postgres.log"};
  for (const Replica& replica : replicas_) logs.push_back(replica.log);
  for (const std::string& log : logs) {
    const std::string content = ReadAll(log);
    text += "\n== " + log + "\n" + content.substr(content.size() > kLogEnd ? content.size() - kLogEnd : 0);
  }
  return text;
}

}  // namespace bulkhead::e2e
