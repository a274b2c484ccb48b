// A private PostgreSQL cluster under one directory, for the installation that has no database server.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::controlplane {

// Runs PostgreSQL from Debian's packages (the newest below /usr/lib/postgresql) on a unix socket only, as the system
// user "postgres" when we are root. Settings are durable. The layout below the directory: lock, data/ (the cluster),
// run/ (the socket), log/ (a week of logs), startup.log (what the last start said).
//
// Ends with this object: the server is asked to stop and waited for. When the control plane is killed, the kernel asks
// it to stop (PR_SET_PDEATHSIG); what may still run then is stopped by the next Start. The signal is bound to the
// thread that called Start, so call it from a thread that lives as long as this object, such as main's. Not thread
// safe.
class EmbeddedPostgres {
 public:
  // Makes the cluster if there is none, starts it, waits until it takes connections, and makes the role and the
  // database "bulkhead". FailedPrecondition: PostgreSQL is not installed, the directory's path is too long for a
  // socket, another control plane uses the directory, or the data was made by another major version. Internal: the
  // server did not start; the message ends with what it said.
  static absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> Start(const std::string& directory);
  ~EmbeddedPostgres();

  // For Store::Options.
  const std::string& connection_string() const { return connection_string_; }

 private:
  explicit EmbeddedPostgres(std::string directory) : directory_(std::move(directory)) {}

  absl::Status FindProgramsAndUser();
  absl::Status PrepareDirectories();
  absl::Status StopLeftover();
  absl::Status MakeCluster();
  absl::Status StartServer();
  absl::Status WaitUntilReady();
  absl::Status MakeDatabase();
  // Runs a program as the server's user to its end; Internal with its output when it fails.
  absl::Status RunProgram(const std::vector<std::string>& arguments, const std::string& input = "");
  // Starts a program as the server's user, which ends when we do. `input` (-1: nothing) becomes its standard input,
  // `log` takes standard output and error.
  pid_t Spawn(const std::vector<std::string>& arguments, int input, int log);

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  const std::string directory_;
  std::string connection_string_;
  std::string programs_;  // such as /usr/lib/postgresql/15/bin
  bool change_user_ = false;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  UniqueFd lock_;
  pid_t server_ = -1;
};

}  // namespace bulkhead::controlplane
