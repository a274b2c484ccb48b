// A fresh database for each test, in a PostgreSQL that one test program starts and stops.
#pragma once

#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "controlplane/store/store.h"

namespace bulkhead::controlplane::test {

// A database with the current schema or none. It goes with the server: dropping each costs a checkpoint. Needs root,
// for the server's own user.
class Database {
 public:
  enum class Schema { kCurrent, kNone };
  explicit Database(Schema schema = Schema::kCurrent);

  // As the role that the control plane uses.
  const std::string& connection_string() const { return connection_string_; }
  // As the database's superuser, for what the control plane must not be able to do.
  std::string superuser_string() const;
  // As another role.
  std::string StringAs(const std::string& role) const;

  // Opens a store on it; the test fails when that fails.
  std::unique_ptr<Store> Open(int pool_size = 8) const;

  // Runs one statement outside of the store, as the control plane's role. Throws what libpqxx throws.
  pqxx::result Execute(const std::string& sql) const;
  pqxx::result ExecuteAsSuperuser(const std::string& sql) const;
  // First column of the first row.
  std::string Value(const std::string& sql) const;
  // SQLSTATE and constraint name ("23514 rules_ports_check") with which the statement is refused; empty when it is not.
  std::string Refusal(const std::string& sql) const;

 private:
  std::string name_;
  std::string connection_string_;
};

}  // namespace bulkhead::controlplane::test
