// A whole sensor without a kernel: real loop, real files, real stream; the kernel and the kills are fakes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "common/clock.h"
#include "harness/fake_control_plane.h"
#include "harness/fake_datapath.h"
#include "harness/fake_prover.h"
#include "harness/fake_tamper_guard.h"
#include "harness/temp_dir.h"
#include "sensor/app/loop.h"
#include "sensor/link/grpc_link.h"

namespace bulkhead::test {

// A clock that a test moves. Thread safe.
class ManualClock : public Clock {
 public:
  absl::Time Now() const override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::Now();
};

// The host that a sensor runs on: what survives when the sensor is stopped or killed.
struct Host {
  explicit Host(const FakeCa& ca);

  TempDir state;
  FakeDatapath kernel;
  FakeKiller killer;
  FakeGuardState guard;       // used by the loop thread while a sensor runs
  bool tamper_guard = false;  // the option
  FakeProver prover;
  ManualClock clock;
};

// Runs until destroyed. Two in a row on one Host are a restart.
class RunningSensor {
 public:
  RunningSensor(Host* host, int port);
  ~RunningSensor();

 private:
  sensor::DesiredStateStore desired_states_;
  sensor::AddressStore addresses_;
  sensor::CommandLogStore command_log_;
  sensor::IdentityStore identities_;
  UniqueFd stop_;
  sensor::Enforcer enforcer_;
  sensor::EventQueue events_{100};
  sensor::LoopMailbox mailbox_{100};
  sensor::GuardCodeStore guard_code_;
  sensor::GuardKeeper guard_;
  sensor::KillWorker worker_;
  sensor::CommandRunner commands_;
  sensor::Renewer renewer_;
  std::unique_ptr<sensor::GrpcLink> link_;
  std::optional<sensor::ProofWorker> proofs_;
  std::optional<sensor::Uplink> uplink_;
  std::thread thread_;
};

// A desired state for FakeControlPlane::kSensorId as a push.
v1::ConnectResponse Push(uint64_t generation, bool isolated);

// Waits up to 5 s.
bool Eventually(const std::function<bool()>& condition);

}  // namespace bulkhead::test
