// A whole sensor without a kernel.
#include "running_sensor.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <stdexcept>

#include "absl/time/clock.h"

namespace bulkhead::test {
namespace {

// No jitter: tests do not wait.
double Zero() {
  return 0.0;
}

}  // namespace

Host::Host(const FakeCa& ca) {
  const sensor::KeyAndRequest key = *sensor::MakeKeyAndRequest();
  const std::string chain = ca.SignSensor(key.csr_der, FakeControlPlane::kSensorId, absl::Now() - absl::Minutes(1),
                                          absl::Now() + absl::Hours(24));
  const absl::Status stored = sensor::IdentityStore(state.path()).Replace({key.key_pem, chain, ca.trust_bundle_pem()});
  if (!stored.ok()) throw std::runtime_error(stored.ToString());
}

RunningSensor::RunningSensor(Host* host, int port)
    : desired_states_(host->state.path()),
      addresses_(host->state.path()),
      command_log_(host->state.path()),
      identities_(host->state.path()),
      stop_(eventfd(0, EFD_CLOEXEC)),
      enforcer_(&host->kernel, &desired_states_),
      guard_code_(host->state.path()),
      guard_(&guard_code_, &events_, &host->clock),
      worker_(&host->killer, [this](sensor::KillDone done) { mailbox_.Post(std::move(done)); }),
      commands_(&command_log_, &worker_, &guard_),
      renewer_(&identities_, *identities_.Load(), Zero) {
  enforcer_.Restore();
  if (host->tamper_guard) guard_.Use(std::make_unique<FakeTamperGuard>(&host->guard, &host->clock));
  sensor::GrpcLinkOptions options;
  options.control_planes = {{"localhost", static_cast<uint16_t>(port)}};
  options.uniform = Zero;
  link_ = std::make_unique<sensor::GrpcLink>(
      options, [this](sensor::LinkMessage message) { mailbox_.Post(std::move(message)); });
  proofs_.emplace(&host->prover, [this](sensor::ProofDone done) { mailbox_.Post(std::move(done)); });
  sensor::UplinkParts parts;
  parts.proofs = &*proofs_;
  parts.link = link_.get();
  parts.datapath = &host->kernel;
  parts.enforcer = &enforcer_;
  parts.commands = &commands_;
  parts.guard = &guard_;
  parts.renewer = &renewer_;
  parts.addresses = &addresses_;
  parts.events = &events_;
  parts.clock = &host->clock;
  parts.facts.protected_paths = {"/usr/sbin/bulkhead-sensor"};
  parts.uniform = Zero;
  uplink_.emplace(std::move(parts));
  sensor::LoopParts loop;
  loop.datapath = &host->kernel;
  loop.enforcer = &enforcer_;
  loop.events = &events_;
  loop.mailbox = &mailbox_;
  loop.uplink = &*uplink_;
  loop.keep_guard = [this] { return guard_.Maintain(); };
  loop.stop_fd = stop_.get();
  loop.publish_status = [] {};
  thread_ = std::thread([loop] { sensor::Loop(loop).Run().IgnoreError(); });
}

RunningSensor::~RunningSensor() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof(one));
  thread_.join();
  mailbox_.Close();
}

v1::ConnectResponse Push(uint64_t generation, bool isolated) {
  v1::ConnectResponse message;
  v1::DesiredState* state = message.mutable_heartbeat_response()->mutable_desired_state();
  state->set_sensor_id(FakeControlPlane::kSensorId);
  state->set_generation(generation);
  state->set_digest(std::string(31, 'd') + static_cast<char>(generation));
  if (isolated) {
    state->set_isolated(true);
    v1::EnforcementPolicy* policy = state->add_enforcement_policies();
    policy->set_id("p1");
    policy->set_name("network-isolation");
    policy->set_template_(v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
  }
  return message;
}

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

}  // namespace bulkhead::test
