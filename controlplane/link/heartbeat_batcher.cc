// The collecting thread.
#include "controlplane/link/heartbeat_batcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/log.h"

namespace bulkhead::controlplane {
namespace {

// A sensor waits so much longer for an answer that says nothing.
constexpr absl::Duration kHeartbeatDelay = absl::Milliseconds(50);
// One statement of so many rows takes about 10 ms; more at once is not faster.
constexpr size_t kMostInBatch = 1000;

}  // namespace

void HeartbeatBatcher::Add(PlainHeartbeat heartbeat, Answer answer) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      waiting_.push_back({std::move(heartbeat), std::move(answer)});
      if (waiting_.size() >= kMostInBatch) collect_.Wake();
      return;
    }
  }
  answer(absl::UnavailableError("this replica is shutting down"));
}

void HeartbeatBatcher::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  collect_.Stop();
  if (writer_.joinable()) writer_.join();
}

void HeartbeatBatcher::Loop() {
  for (std::vector<Entry> batch = NextBatch(); !batch.empty(); batch = NextBatch()) StoreBatch(std::move(batch));
}

std::vector<HeartbeatBatcher::Entry> HeartbeatBatcher::NextBatch() {
  bool full = false;
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &HeartbeatBatcher::HasSome));
    full = waiting_.size() >= kMostInBatch;
  }
  if (!full) collect_.For(kHeartbeatDelay);
  absl::MutexLock lock(&mutex_);
  const auto end = waiting_.begin() + static_cast<ptrdiff_t>(std::min(waiting_.size(), kMostInBatch));
  std::vector<Entry> batch(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return batch;
}

void HeartbeatBatcher::StoreBatch(std::vector<Entry> batch) {
  std::vector<PlainHeartbeat> heartbeats;
  heartbeats.reserve(batch.size());
  for (Entry& entry : batch) heartbeats.push_back(std::move(entry.heartbeat));
  auto answers = store_->RecordHeartbeats(heartbeats);
  if (!answers.ok()) {
    LogWarning("database did not take heartbeats",
               {{"heartbeats", batch.size()}, {"error", answers.status().ToString()}});
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    batch[i].answer(answers.ok() ? std::move((*answers)[i]) : absl::StatusOr<OrderedState>(answers.status()));
  }
}

}  // namespace bulkhead::controlplane
