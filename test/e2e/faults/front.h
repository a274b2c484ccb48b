// What stands between Bulkhead's parts in a real installation, started from the files in deploy/.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "e2e/process.h"

namespace bulkhead::e2e {

// A file of deploy/ with some of its text replaced. Throws when a text is not there: a file that changed is noticed.
std::string DeployedFile(const std::string& name, const std::map<std::string, std::string>& replaced);

// HAProxy with deploy/haproxy/haproxy.cfg in front of two replicas ("127.0.0.1:PORT"). Its files live in `directory`.
class LoadBalancer {
 public:
  LoadBalancer(const std::string& directory, const std::string& replica1, const std::string& replica2,
               const std::string& trust_bundle);

  const std::string& address() const { return address_; }
  // What its health check makes of a server, "cp1" or "cp2": "UP", "DOWN", or something that begins so.
  std::string StatusOf(const std::string& server) const;
  // Connections that it has handed to a server so far.
  int SessionsOf(const std::string& server) const;

 private:
  std::string Field(const std::string& server, size_t field) const;

  const std::string address_, socket_;
  std::unique_ptr<Daemon> daemon_;
};

// PgBouncer with deploy/pgbouncer/pgbouncer.ini, without passwords, in front of a PostgreSQL that listens on a port.
class Pooler {
 public:
  // `mode` is session or transaction.
  Pooler(const std::string& directory, const std::string& mode, int postgres_port);

  // For --postgres.
  std::string url() const { return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/bulkhead"; }

 private:
  const int port_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace bulkhead::e2e
