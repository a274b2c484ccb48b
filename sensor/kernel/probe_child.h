// The child process of a probe: does one thing that a hook should see and reports what came of it.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "sensor/domain/forbidden_target.h"

namespace bulkhead::sensor {

enum class ProbeAction {
  kSendUdp,      // a datagram to itself over loopback
  kReceiveUdp,   // the same, and waits for it
  kConnectTcp,   // to a closed loopback port
  kAcceptTcp,    // a whole connection over loopback
  kExecNothing,  // a path that does not exist
  kExecFile,     // a real program
  kExecGarbage,  // a file that is no program
  kMapCode,      // a file, mapped as code
  // To a target that a wall forbids:
  kConnectForbiddenTcp,  // from a network namespace without a route, so that nothing leaves even where no wall is
  kConnectForbiddenUdp,  // the same; a UDP connect sends nothing
  kSendForbiddenIcmp,    // an echo request with a hop limit of 1, from the namespace of the sensor
};

// What was seen of the child.
struct ProbeEffect {
  bool killed = false;  // ended by SIGKILL
  int error = 0;        // errno of the action; 0: it worked
};

// Not thread safe. The child lives in its own network namespace, so that nothing it does leaves it; kSendForbiddenIcmp
// alone stays where its packet would have a route.
class ProbeChild {
 public:
  // Forks a child into the cgroup `cgroup`, where it waits.
  static absl::StatusOr<ProbeChild> Start(ProbeAction action, const std::string& cgroup,
                                          const ForbiddenTarget& target = {});
  ~ProbeChild();
  ProbeChild(ProbeChild&& other) noexcept : pid_(other.pid_), go_(std::move(other.go_)) { other.pid_ = -1; }
  ProbeChild& operator=(ProbeChild&&) = delete;

  pid_t pid() const { return pid_; }

  // Lets the child act and waits for its end, at most 5 s.
  absl::StatusOr<ProbeEffect> Finish();

 private:
  ProbeChild(pid_t pid, UniqueFd go) : pid_(pid), go_(std::move(go)) {}

  pid_t pid_;
  UniqueFd go_;  // closing it lets the child act
};

}  // namespace bulkhead::sensor
