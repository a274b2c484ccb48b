// The sensor's one loop.
#include "sensor/app/loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

// What somebody changed in the kernel is put back, and told, within a second.
constexpr absl::Duration kMaintenanceInterval = absl::Milliseconds(500);
constexpr absl::Duration kGuardInterval = absl::Seconds(1);
constexpr absl::Duration kStatusInterval = absl::Seconds(30);
constexpr absl::Duration kGoodbyeTimeout = absl::Seconds(2);
constexpr size_t kMostEventsAtOnce = 1024;

// Wall-clock time jumps; waits must not.
absl::Duration MonotonicNow() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

absl::Status Loop::Run() {
  RETURN_IF_ERROR(Watch());
  while (!stop_requested_) {
    const absl::Duration now = MonotonicNow();
    HandleMailbox(now);
    HandleKernelEvents();
    if (now >= next_maintenance_) Maintain(now);
    if (parts_.uplink != nullptr) parts_.uplink->OnTime(now);
    if (now >= next_status_) {
      next_status_ = now + kStatusInterval;
      parts_.publish_status();
    }
    Wait(MonotonicNow());
  }
  Stop();
  return absl::OkStatus();
}

absl::Status Loop::Watch() {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return ErrnoToStatus(errno, "epoll_create1");
  for (const int fd :
       {parts_.stop_fd, parts_.mailbox->fd(), parts_.datapath->event_fd(), parts_.datapath->interface_fd()}) {
    if (fd < 0) continue;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoToStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Loop::Wait(absl::Duration now) {
  absl::Duration until = std::min(next_maintenance_, next_status_);
  if (parts_.uplink != nullptr) until = std::min(until, parts_.uplink->NextDeadline());
  // Rounded up: a wait that ends a fraction of a millisecond early would spin.
  const int64_t millis = absl::ToInt64Milliseconds(std::max(until - now, absl::ZeroDuration())) + 1;
  std::array<epoll_event, 4> ready{};
  const int count = epoll_wait(epoll_.get(), ready.data(), ready.size(), static_cast<int>(millis));
  for (int i = 0; i < count; ++i) {
    const int fd = ready[static_cast<size_t>(i)].data.fd;
    if (fd == parts_.stop_fd) stop_requested_ = true;
    if (fd == parts_.datapath->interface_fd()) TellRepaired(parts_.datapath->FollowInterfaces());
  }
}

void Loop::HandleMailbox(absl::Duration now) {
  for (LoopMessage& message : parts_.mailbox->TakeAll()) {
    if (parts_.uplink == nullptr) continue;
    if (auto* done = std::get_if<KillDone>(&message); done != nullptr) {
      parts_.uplink->KillEnded(std::move(*done));
    } else if (const auto* proof = std::get_if<ProofDone>(&message); proof != nullptr) {
      parts_.uplink->ProofEnded(*proof);
    } else {
      parts_.uplink->Handle(std::move(std::get<LinkMessage>(message)), now);
    }
    next_status_ = std::min(next_status_, now + kMaintenanceInterval);
  }
}

void Loop::HandleKernelEvents() {
  for (Event& event : parts_.datapath->DrainEvents(kMostEventsAtOnce)) parts_.events->Push(std::move(event));
}

void Loop::TellRepaired(const std::vector<std::string>& repaired) {
  for (const std::string& text : repaired) {
    LogWarning("drift repaired", {{"what", text}});
    parts_.events->Push(Event{absl::Now(), EventKind::kDriftRepaired, "", 0, "", text});
  }
}

void Loop::Maintain(absl::Duration now) {
  next_maintenance_ = now + kMaintenanceInterval;
  const std::vector<std::string> repaired = parts_.enforcer->Maintain();
  TellRepaired(repaired);
  const bool guard_changed = KeepGuard(now);
  const std::vector<std::string> ended = parts_.enforcer->TakeEndedLeases();
  for (const std::string& name : ended) LogInfo("lease ended; the kernel let go", {{"policy", name}});
  const std::vector<std::string> moved = parts_.enforcer->TakeScopeMoves();
  for (const std::string& text : moved) LogInfo("a scope moved", {{"what", text}});
  if (repaired.empty() && ended.empty() && moved.empty() && !guard_changed) return;
  next_status_ = now;
  if (parts_.uplink != nullptr) parts_.uplink->ObservedChanged(now);
}

bool Loop::KeepGuard(absl::Duration now) {
  if (now < next_guard_) return false;
  next_guard_ = now + kGuardInterval;
  return !parts_.keep_guard().empty();
}

void Loop::Stop() {
  if (parts_.uplink == nullptr) return;
  const absl::Duration deadline = MonotonicNow() + kGoodbyeTimeout;
  parts_.uplink->Stop();
  while (!parts_.uplink->stopped() && MonotonicNow() < deadline) {
    HandleMailbox(MonotonicNow());
    absl::SleepFor(absl::Milliseconds(10));
  }
}

}  // namespace bulkhead::sensor
