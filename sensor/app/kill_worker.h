// Carries out kills away from the loop: one can take 10 seconds and more.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sensor/domain/command.h"
#include "sensor/domain/process_killer.h"

namespace bulkhead::sensor {

// A kill that has ended.
struct KillDone {
  std::string command_id;
  CommandResult result;
  CommandKind kind = CommandKind::kKillProcess;
};

// One thread, commands in order. Start is thread safe.
class KillWorker {
 public:
  static constexpr size_t kMostWaiting = 256;

  // `done` is called on the worker's thread.
  KillWorker(ProcessKiller* killer, std::function<void(KillDone)> done);
  // Waits for the kill that runs; those that wait are not started.
  ~KillWorker();

  // False: too many wait; the command was not taken.
  bool Start(const Command& command);

 private:
  void Work();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); }

  ProcessKiller* const killer_;
  const std::function<void(KillDone)> done_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Command> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses everything above
};

}  // namespace bulkhead::sensor
