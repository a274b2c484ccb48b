// Where a person at the host's console gives the offline code to the running sensor: a socket in the state directory.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/unique_fd.h"
#include "sensor/domain/command_result.h"

namespace bulkhead::sensor {

// The sensor's end. Datagrams, so that nobody can hold the loop up with half a request. Not thread safe.
class GuardConsole {
 public:
  using Lower = std::function<CommandResult(absl::string_view code, absl::Duration duration)>;

  // Makes `<state_dir>/guard.sock`, for root only, in place of one that an earlier sensor left.
  static absl::StatusOr<std::unique_ptr<GuardConsole>> Open(const std::string& state_dir);

  // Answers at most one request; never blocks. Called once a second, this is the limit for guessing.
  void ServeOne(const Lower& lower);

 private:
  explicit GuardConsole(UniqueFd socket) : socket_(std::move(socket)) {}

  const UniqueFd socket_;
};

// The person's end: gives a code to the sensor that runs with this state directory and returns what it answers, within
// 10 s. NotFound: no sensor runs there. PermissionDenied: the sensor did not accept the code; its answer says why.
absl::StatusOr<std::string> GiveGuardCode(const std::string& state_dir, absl::string_view code,
                                          absl::Duration duration);

}  // namespace bulkhead::sensor
