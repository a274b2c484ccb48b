// A PostgreSQL of the test's own: made once, started, killed and started again.
#pragma once

#include <memory>
#include <string>

#include "e2e/process.h"

namespace bulkhead::e2e {

// Data, unix socket and log (postgres.log) live in `directory`. Without fsync: tests kill processes, not the kernel.
// Not thread safe.
class Postgres {
 public:
  // Makes the cluster and starts it. Throws when that fails.
  explicit Postgres(const std::string& directory);

  // Returns when it answers; throws when it does not within a minute.
  void Start();
  // kill -9 of the server and of every process that serves a connection.
  void Kill();

  // postgresql://… for --postgres.
  std::string url() const { return "postgresql://postgres@/postgres?host=" + data_; }
  // Runs one statement as the superuser and returns what psql prints, unaligned and without headings.
  Result Query(const std::string& sql) const;
  Daemon& daemon() { return *daemon_; }

 private:
  const std::string directory_;
  const std::string data_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace bulkhead::e2e
