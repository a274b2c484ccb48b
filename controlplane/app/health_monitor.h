// Whether this replica should get work, and why not.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/pause.h"

namespace bulkhead::controlplane {

// Ready means: it listens, the database answered of late and has every migration of this program, and it does not shut
// down. Judged by a thread of its own, so that a database that hangs, and with it whoever asks it, is seen too. Thread
// safe.
class HealthMonitor {
 public:
  // An answer of the database is good for so long: three of the periodic checks.
  static constexpr std::chrono::seconds kFresh{15};

  // `on_change` is called, by one thread at a time, with each new verdict; the first time when Start is called.
  explicit HealthMonitor(std::function<void(bool)> on_change, std::chrono::milliseconds fresh = kFresh)
      : on_change_(std::move(on_change)), fresh_(fresh) {}
  ~HealthMonitor() { Stop(); }

  // From now on it listens. Call once.
  void Start() ABSL_LOCKS_EXCLUDED(mutex_, verdict_mutex_);
  // What a check of the database said.
  void DatabaseAnswered(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Not ready any more, whatever comes; on_change has been told when it returns. May be called again.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_, verdict_mutex_);

  // The verdict, and one line for each condition.
  std::pair<bool, std::string> Look() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_, verdict_mutex_);
  void Judge() ABSL_LOCKS_EXCLUDED(mutex_, verdict_mutex_);

  const std::function<void(bool)> on_change_;
  const std::chrono::milliseconds fresh_;

  absl::Mutex verdict_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  int verdict_ ABSL_GUARDED_BY(verdict_mutex_) = -1;  // -1: none yet

  mutable absl::Mutex mutex_;
  bool listening_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status database_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("not asked yet");
  // Not wall-clock time, which may jump.
  std::chrono::steady_clock::time_point answered_at_ ABSL_GUARDED_BY(mutex_);
  Pause pause_;
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
