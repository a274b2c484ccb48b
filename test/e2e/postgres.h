// A PostgreSQL of the test's own: made once, started, killed and started again; a primary, or a standby of one.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "e2e/process.h"

namespace bulkhead::e2e {

// Runs a program as the user postgres.
Arguments AsPostgres(const Arguments& command);

// Data, unix socket and log live in `directory`, under the server's name. Without fsync: tests kill processes, not the
// kernel. Not thread safe.
class Postgres {
 public:
  struct Options {
    std::string name = "postgres";
    int port = 0;         // of 127.0.0.1; 0: only the unix socket
    std::string include;  // a configuration file that it reads
    std::string
        standby_of;  // "host=… port=… user=…": made from that primary instead of anew, as deploy/postgresql does
  };

  // Makes the cluster and starts it. Throws when that fails.
  Postgres(const std::string& directory, Options options);
  explicit Postgres(const std::string& directory) : Postgres(directory, Options()) {}

  // Returns when it answers; throws when it does not within a minute.
  void Start();
  // kill -9 of the server and of every process that serves a connection.
  void Kill();

  // postgresql://… for --postgres.
  std::string url() const { return "postgresql://postgres@/postgres?host=" + run_; }
  // "host=… port=… user=…" for other programs of PostgreSQL; needs a port.
  std::string conninfo() const;
  // What deploy/postgresql/SCRIPT makes of the arguments, run as its administrator would.
  Result Deploy(const std::string& script, const Arguments& arguments) const;
  const std::string& data() const { return data_; }
  int port() const { return options_.port; }
  // Runs one statement as the superuser and returns what psql prints, unaligned and without headings.
  Result Query(const std::string& sql) const;
  Daemon& daemon() { return *daemon_; }

 private:
  void Make();

  const std::string directory_;
  const Options options_;
  const std::string data_;
  const std::string run_;  // its socket; apart, or pg_rewind would copy that
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace bulkhead::e2e
