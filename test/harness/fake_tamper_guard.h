// A tamper guard without a kernel, which fails when a test says so. Its clock is the test's.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "sensor/domain/tamper_guard.h"

namespace bulkhead::test {

// What a test looks at and changes; outlives the guard. One thread.
struct FakeGuardState {
  bool enabled = false;
  int enables = 0;
  absl::Time lowered_until = absl::InfinitePast();
  absl::Status enable_result, lower_result, works;
  std::vector<std::string> repairs;
  uint64_t refusals = 0;
  int moves = 0;  // how often somebody will have moved the process away
};

class FakeTamperGuard : public sensor::TamperGuard {
 public:
  FakeTamperGuard(FakeGuardState* state, const Clock* clock) : state_(state), clock_(clock) {}

  absl::Status Enable() override {
    ++state_->enables;
    if (state_->enable_result.ok()) state_->enabled = true;
    return state_->enable_result;
  }
  absl::Status Lower(absl::Duration duration) override {
    if (state_->lower_result.ok()) state_->lowered_until = clock_->Now() + duration;
    return state_->lower_result;
  }
  absl::StatusOr<std::vector<std::string>> Maintain() override { return std::exchange(state_->repairs, {}); }
  absl::StatusOr<std::string> GoHome() override {
    if (state_->moves == 0) return std::string();
    --state_->moves;
    return std::string("moved");
  }
  absl::Status Prove() const override { return state_->works; }
  absl::StatusOr<sensor::GuardSwitch> Read() const override {
    return sensor::GuardSwitch{state_->enabled, std::max(state_->lowered_until - clock_->Now(), absl::ZeroDuration())};
  }
  absl::StatusOr<std::vector<sensor::Counter>> Counters() const override {
    return std::vector<sensor::Counter>{{"guard_denied_signal", state_->refusals}};
  }
  sensor::Mechanism mechanism() const override { return {"tamper_guard/fake", true, ""}; }

 private:
  FakeGuardState* const state_;
  const Clock* const clock_;
};

}  // namespace bulkhead::test
