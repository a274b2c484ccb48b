// Where a person at the host's console gives the offline code to the running sensor.
#include "sensor/app/guard_console.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "sensor/domain/tamper_guard.h"

namespace bulkhead::sensor {
namespace {

constexpr char kName[] = "guard.sock";
constexpr size_t kLargestMessage = 512;
constexpr time_t kAnswerSeconds = 10;
constexpr absl::string_view kDone = "done ", kRefused = "refused ";

// A socket's address has room for 107 bytes; a path through an open directory is short, whatever the directory's is.
absl::StatusOr<sockaddr_un> AddressIn(int directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", directory, "/", kName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& state_dir) {
  UniqueFd directory(open(state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", state_dir));
  return directory;
}

absl::StatusOr<UniqueFd> MakeSocket(int flags) {
  UniqueFd made(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0));
  if (!made.valid()) return ErrnoToStatus(errno, "make a socket");
  return made;
}

std::string Answer(absl::string_view request, const GuardConsole::Lower& lower) {
  const std::vector<absl::string_view> words = absl::StrSplit(request, absl::MaxSplits(' ', 1));
  int64_t seconds = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &seconds) || seconds < 1 ||
      absl::Seconds(seconds) > kLongestGuardDown) {
    return absl::StrCat(kRefused, "the request is malformed; use bulkhead-sensor lower-guard");
  }
  const CommandResult result = lower(words[1], absl::Seconds(seconds));
  return absl::StrCat(result.outcome == CommandOutcome::kDone ? kDone : kRefused, result.message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuardConsole>> GuardConsole::Open(const std::string& state_dir) {
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(state_dir));
  ASSIGN_OR_RETURN(UniqueFd bound, MakeSocket(SOCK_NONBLOCK));
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressIn(directory.get()));
  unlinkat(directory.get(), kName, 0);
  const mode_t others = umask(0177);
  const int result = bind(bound.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  umask(others);
  if (result != 0) return ErrnoToStatus(error, absl::StrCat("make the socket ", state_dir, "/", kName));
  return std::unique_ptr<GuardConsole>(new GuardConsole(std::move(bound)));
}

void GuardConsole::ServeOne(const Lower& lower) {
  std::array<char, kLargestMessage> request;
  sockaddr_un from{};
  socklen_t length = sizeof(from);
  const ssize_t size =
      recvfrom(socket_.get(), request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
  if (size < 0) return;
  const std::string answer = Answer({request.data(), static_cast<size_t>(size)}, lower).substr(0, kLargestMessage);
  // Who does not wait for the answer does not get it.
  sendto(socket_.get(), answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), length);
}

absl::StatusOr<std::string> GiveGuardCode(const std::string& state_dir, absl::string_view code,
                                          absl::Duration duration) {
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(state_dir));
  ASSIGN_OR_RETURN(const UniqueFd mine, MakeSocket(0));
  sockaddr_un any{};
  any.sun_family = AF_UNIX;  // and no name: the kernel gives one, to which the answer comes
  const timeval patience{kAnswerSeconds, 0};
  if (bind(mine.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any.sun_family)) != 0 ||
      setsockopt(mine.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
      setsockopt(mine.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0) {
    return ErrnoToStatus(errno, "prepare a socket");
  }
  ASSIGN_OR_RETURN(const sockaddr_un sensor, AddressIn(directory.get()));
  if (connect(mine.get(), reinterpret_cast<const sockaddr*>(&sensor), sizeof(sensor)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return absl::NotFoundError(
          absl::StrCat("no sensor with the option tamper_guard runs with the state directory ", state_dir,
                       "; start it (systemctl start bulkhead-sensor), or reboot: the guard does not refuse that"));
    }
    return ErrnoToStatus(errno, absl::StrCat("reach the sensor at ", state_dir, "/", kName));
  }
  const std::string request = absl::StrCat(absl::ToInt64Seconds(duration), " ", code);
  std::array<char, kLargestMessage> answer;
  ssize_t size = send(mine.get(), request.data(), request.size(), 0);
  if (size >= 0) size = recv(mine.get(), answer.data(), answer.size(), 0);
  if (size < 0) return ErrnoToStatus(errno, "the sensor did not answer");
  const absl::string_view text(answer.data(), static_cast<size_t>(size));
  if (text.substr(0, kDone.size()) == kDone) return std::string(text.substr(kDone.size()));
  const size_t start = text.find(' ');
  return absl::PermissionDeniedError(start == absl::string_view::npos ? text : text.substr(start + 1));
}

}  // namespace bulkhead::sensor
