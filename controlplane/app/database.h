// What --postgres means: a server of ours, one that runs already, or somebody else's.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "controlplane/app/embedded_postgres.h"

namespace bulkhead::controlplane {

// Not thread safe. With "embedded:DIR" a server that it started ends with it.
class Database {
 public:
  // For `serve`: starts the embedded server.
  static absl::StatusOr<std::unique_ptr<Database>> Start(const std::string& where);
  // For commands that come and go: uses the embedded server of a control plane that runs, or starts one for as long as
  // this object lives.
  static absl::StatusOr<std::unique_ptr<Database>> Attach(const std::string& where);

  // For Store::Options.
  const std::string& connection_string() const { return connection_string_; }

 private:
  Database() = default;

  std::unique_ptr<EmbeddedPostgres> embedded_;
  std::string connection_string_;
};

}  // namespace bulkhead::controlplane
