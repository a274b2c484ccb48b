// Tells the three cases apart.
#include "controlplane/app/database.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kEmbeddedPrefix[] = "embedded:";

// True when a server listens on the socket of the cluster in `directory`.
bool IsRunning(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/run/.s.PGSQL.5432");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket.valid() && connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Start(const std::string& where) {
  std::unique_ptr<Database> database(new Database());
  absl::string_view directory = where;
  if (absl::ConsumePrefix(&directory, kEmbeddedPrefix)) {
    ASSIGN_OR_RETURN(database->embedded_, EmbeddedPostgres::Start(std::string(directory)));
    database->connection_string_ = database->embedded_->connection_string();
  } else {
    database->connection_string_ = where;
  }
  return database;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Attach(const std::string& where) {
  const std::string directory(absl::StripPrefix(where, kEmbeddedPrefix));
  if (!absl::StartsWith(where, kEmbeddedPrefix) || !IsRunning(directory)) return Start(where);
  std::unique_ptr<Database> database(new Database());
  database->connection_string_ = absl::StrCat("host='", directory, "/run' user=bulkhead dbname=bulkhead");
  return database;
}

}  // namespace bulkhead::controlplane
