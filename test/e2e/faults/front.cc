// What stands between Bulkhead's parts in a real installation, started from the files in deploy/.
#include "e2e/faults/front.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "e2e/postgres.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(20);
// Columns of HAProxy's "show stat".
constexpr size_t kNameColumn = 1, kSessionsColumn = 7, kStatusColumn = 17;

void Write(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
}

// One command to HAProxy's stats socket. Empty when it does not answer.
std::string Ask(const std::string& path, const std::string& command) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      write(fd, command.data(), command.size()) == static_cast<ssize_t>(command.size())) {
    char data[4096];
    for (ssize_t got = read(fd, data, sizeof(data)); got > 0; got = read(fd, data, sizeof(data)))
      answer.append(data, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

}  // namespace

std::string DeployedFile(const std::string& name, const std::map<std::string, std::string>& replaced) {
  std::ifstream file(std::string(BULKHEAD_DEPLOY) + "/" + name);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const auto& [from, to] : replaced) {
    size_t at = content.find(from);
    if (at == std::string::npos) throw std::runtime_error(name + " no longer has: " + from);
    for (; at != std::string::npos; at = content.find(from, at + to.size())) content.replace(at, from.size(), to);
  }
  return content;
}

LoadBalancer::LoadBalancer(const std::string& directory, const std::string& replica1, const std::string& replica2,
                           const std::string& trust_bundle)
    : address_("127.0.0.1:" + std::to_string(FreePort())), socket_(directory + "/haproxy.sock") {
  Write(directory + "/haproxy-ca.pem", trust_bundle);
  Write(directory + "/haproxy.cfg",
        DeployedFile("haproxy/haproxy.cfg", {{"maxconn 45000", "maxconn 2000"},
                                             {"bind :7443", "bind " + address_},
                                             {"192.0.2.11:7443", replica1},
                                             {"192.0.2.12:7443", replica2},
                                             {"/run/haproxy/admin.sock", socket_},
                                             {"/etc/haproxy/bulkhead-ca.pem", directory + "/haproxy-ca.pem"}}));
  daemon_ = std::make_unique<Daemon>(Arguments{"haproxy", "-db", "-f", directory + "/haproxy.cfg"},
                                     directory + "/haproxy.log");
  const auto up = [this] { return StatusOf("cp1") == "UP" && StatusOf("cp2") == "UP"; };
  if (!Eventually(kStartLimit, up)) throw std::runtime_error("HAProxy does not find both replicas healthy");
}

std::string LoadBalancer::Field(const std::string& server, size_t field) const {
  std::istringstream lines(Ask(socket_, "show stat\n"));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string part; std::getline(parts, part, ',');) fields.push_back(part);
    if (fields.size() > field && fields[kNameColumn] == server) return fields[field];
  }
  return "";
}

std::string LoadBalancer::StatusOf(const std::string& server) const {
  return Field(server, kStatusColumn);
}

int LoadBalancer::SessionsOf(const std::string& server) const {
  return std::stoi("0" + Field(server, kSessionsColumn));
}

Pooler::Pooler(const std::string& directory, const std::string& mode, int postgres_port) : port_(FreePort()) {
  const std::string file = directory + "/pgbouncer.ini";
  Write(file, DeployedFile("pgbouncer/pgbouncer.ini",
                           {{"host=192.0.2.21 port=5432 dbname=bulkhead",
                             "host=127.0.0.1 port=" + std::to_string(postgres_port) + " dbname=postgres user=postgres"},
                            {"listen_addr = *\nlisten_port = 6432",
                             "unix_socket_dir =\nlisten_addr = 127.0.0.1\nlisten_port = " + std::to_string(port_)},
                            {"auth_type = scram-sha-256\nauth_file = /etc/pgbouncer/userlist.txt", "auth_type = any"},
                            {"pool_mode = session\n", "pool_mode = " + mode + "\n"}}));
  daemon_ = std::make_unique<Daemon>(AsPostgres({"pgbouncer", file}), directory + "/pgbouncer.log");
  const auto answers = [this] {
    return Run({"psql", "-h", "127.0.0.1", "-p", std::to_string(port_), "-U", "postgres", "-XAtqc", "select 1",
                "bulkhead"})
               .exit_code == 0;
  };
  if (!Eventually(kStartLimit, answers)) throw std::runtime_error("PgBouncer does not answer");
}

}  // namespace bulkhead::e2e
