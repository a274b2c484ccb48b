// A prover that sees what a test says. Thread safe.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sensor/domain/connection_prover.h"

namespace bulkhead::test {

class FakeProver : public sensor::ConnectionProver {
 public:
  sensor::ConnectionProof Prove(const std::vector<sensor::ResolvedHost>&, const sensor::Credentials&,
                                absl::Duration) override {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&open_));
    ++proofs_;
    sensor::Reachability seen = sensor::Reachability::kConnected;
    if (!next_.empty()) {
      seen = next_.front();
      next_.pop_front();
    }
    return {seen, "a fake proof"};
  }

  // ---- For tests ----

  // What the next proofs see; after them kConnected.
  void Expect(std::deque<sensor::Reachability> next) {
    absl::MutexLock lock(&mutex_);
    next_ = std::move(next);
  }
  // Proofs wait until they may end.
  void Hold(bool held) {
    absl::MutexLock lock(&mutex_);
    open_ = !held;
  }
  int proofs() const {
    absl::MutexLock lock(&mutex_);
    return proofs_;
  }

 private:
  mutable absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  std::deque<sensor::Reachability> next_ ABSL_GUARDED_BY(mutex_);
  int proofs_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bulkhead::test
