// The sensor's one loop: waits for the kernel, the control plane, time and signals, and does what is due.
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "sensor/app/kill_worker.h"
#include "sensor/app/mailbox.h"
#include "sensor/app/proof_worker.h"
#include "sensor/app/uplink.h"
#include "sensor/domain/control_plane_link.h"

namespace bulkhead::sensor {

// What other threads tell the loop.
using LoopMessage = std::variant<LinkMessage, KillDone, ProofDone>;
using LoopMailbox = Mailbox<LoopMessage>;

// What the loop works with; all outlive it.
struct LoopParts {
  Datapath* datapath = nullptr;
  Enforcer* enforcer = nullptr;
  EventQueue* events = nullptr;
  LoopMailbox* mailbox = nullptr;
  Uplink* uplink = nullptr;  // null: enforces a local policy file, there is no control plane
  // Looks after the tamper guard; called about once a second. Returns what changed, in words.
  std::function<std::vector<std::string>()> keep_guard = [] { return std::vector<std::string>(); };
  int stop_fd = -1;  // readable when the sensor must stop, such as a signalfd
  // Called after each round in which the observed state may have changed, and at least every 30 s; for `status`.
  std::function<void()> publish_status;
};

// Runs on one thread, which owns datapath, enforcer, events and uplink while Run is running.
class Loop {
 public:
  explicit Loop(LoopParts parts) : parts_(std::move(parts)) {}

  // Until `stop_fd` is readable; then says goodbye to the control plane for at most 2 s. Enforcement stays. Not OK:
  // epoll failed at start-up; nothing that happens later ends the loop.
  absl::Status Run();

 private:
  absl::Status Watch();
  void Wait(absl::Duration now);
  void HandleMailbox(absl::Duration now);
  void HandleKernelEvents();
  void TellRepaired(const std::vector<std::string>& repaired);
  void Maintain(absl::Duration now);
  bool KeepGuard(absl::Duration now);  // whether something changed
  void Stop();

  LoopParts parts_;
  UniqueFd epoll_;
  absl::Duration next_maintenance_ = absl::ZeroDuration();
  absl::Duration next_guard_ = absl::ZeroDuration();
  absl::Duration next_status_ = absl::ZeroDuration();
  bool stop_requested_ = false;
};

}  // namespace bulkhead::sensor
