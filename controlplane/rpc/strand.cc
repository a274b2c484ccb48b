// Four states: idle, queued, running, running and woken again.
#include "controlplane/rpc/strand.h"

#include <utility>

namespace bulkhead::controlplane {

bool Strand::Wake(std::function<void()> step) {
  absl::MutexLock lock(&mutex_);
  if (state_ == State::kRunning) state_ = State::kRunningAgain;
  if (state_ != State::kIdle) return true;
  if (!workers_->Post([this, step = std::move(step)] { Run(step); })) return false;
  state_ = State::kQueued;
  return true;
}

void Strand::Run(const std::function<void()>& step) {
  do {
    {
      absl::MutexLock lock(&mutex_);
      state_ = State::kRunning;
    }
    step();
  } while (Again());
}

bool Strand::Again() {
  absl::MutexLock lock(&mutex_);
  const bool again = state_ == State::kRunningAgain;
  if (!again) state_ = State::kIdle;
  return again;
}

}  // namespace bulkhead::controlplane
