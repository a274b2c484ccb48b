// Carries out kills away from the loop.
#include "sensor/app/kill_worker.h"

#include <utility>

namespace bulkhead::sensor {

KillWorker::KillWorker(ProcessKiller* killer, std::function<void(KillDone)> done)
    : killer_(killer), done_(std::move(done)), thread_([this] { Work(); }) {}

KillWorker::~KillWorker() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

bool KillWorker::Start(const Command& command) {
  absl::MutexLock lock(&mutex_);
  if (waiting_.size() >= kMostWaiting) return false;
  waiting_.push_back(command);
  return true;
}

void KillWorker::Work() {
  for (;;) {
    Command command;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &KillWorker::HasWork));
      if (stopping_) return;
      command = std::move(waiting_.front());
      waiting_.pop_front();
    }
    CommandResult result =
        command.group.has_value() ? killer_->KillAll(*command.group) : killer_->Kill(command.process);
    done_({command.id, std::move(result), command.kind()});
  }
}

}  // namespace bulkhead::sensor
