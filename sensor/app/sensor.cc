// The sensor: its parts, in the order in which they need each other.
#include "sensor/app/sensor.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/app/host_facts.h"
#include "sensor/app/order_keys_file.h"
#include "sensor/app/policy_file.h"
#include "sensor/app/status_text.h"
#include "sensor/kernel/guard/guarded_files.h"
#include "sensor/kernel/guard/tamper_guard.h"
#include "sensor/link/grpc_link.h"
#include "sensor/link/state_codec.h"
#include "sensor/store/state_dir.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMostEvents = 4096;
constexpr size_t kMostMessages = 1024;
// Where the unit of deploy/systemd may be. Drop-ins that come later are not guarded: a sensor that they start with
// other options finds the guard up and refuses.
constexpr const char* kUnitFiles[] = {
    "/etc/systemd/system/bulkhead-sensor.service", "/etc/systemd/system/bulkhead-sensor-restore.service",
    "/usr/lib/systemd/system/bulkhead-sensor.service", "/usr/lib/systemd/system/bulkhead-sensor-restore.service"};

double Uniform() {
  thread_local absl::BitGen generator;
  return absl::Uniform(generator, 0.0, 1.0);
}

// Blocks SIGTERM and SIGINT for this thread and all that it starts. A write to a connection that the peer closed must
// not end the sensor, so SIGPIPE is ignored.
absl::StatusOr<UniqueFd> TakeSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return ErrnoToStatus(errno, "block SIGTERM and SIGINT");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoToStatus(errno, "signalfd");
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Datapath>> OpenKernelFor(const Options& options) {
  DatapathOptions kernel;
  kernel.scope = options.scope;
  kernel.bpffs = options.bpffs;
  kernel.kill_ring_holders = options.kill_ring_holders;
  // Before the first socket is made: a socket carries the cgroup in which it was created.
  ASSIGN_OR_RETURN(kernel.sensor_cgroup, EnterSensorCgroup());
  return OpenDatapath(kernel);
}

absl::Status RequireOwnGuard(const Options& options) {
  return CheckGuardIsOurs(options.scope.empty() ? HostPinDirectory(options.bpffs) : "");
}

absl::Status RequireGuardDown(const Options& options) {
  if (options.scope.empty()) RETURN_IF_ERROR(CheckGuardIsDown(HostPinDirectory(options.bpffs)));
  return RequireOwnGuard(options);
}

std::string StatusFile(const Options& options) {
  return absl::StrCat(options.state_dir, "/status");
}

Sensor::Sensor(const Options& options)
    : options_(options),
      desired_states_(options.state_dir),
      addresses_(options.state_dir),
      command_log_(options.state_dir),
      identities_(options.state_dir),
      guard_code_(options.state_dir),
      events_(kMostEvents),
      mailbox_(kMostMessages) {}

// Threads that post must not wait for a loop that no longer reads.
Sensor::~Sensor() {
  mailbox_.Close();
}

absl::StatusOr<std::unique_ptr<Sensor>> Sensor::Create(const Options& options) {
  RETURN_IF_ERROR(RequireOwnGuard(options));
  std::unique_ptr<Sensor> sensor(new Sensor(options));
  ASSIGN_OR_RETURN(sensor->signals_, TakeSignals());
  RETURN_IF_ERROR(PrepareStateDir(options.state_dir));
  ASSIGN_OR_RETURN(sensor->state_lock_, LockStateDir(options.state_dir));
  unlink(StatusFile(options).c_str());  // of an earlier run
  if (!options.order_keys.empty()) {
    ASSIGN_OR_RETURN(OrderKeys keys, ReadOrderKeys(options.order_keys));
    sensor->authority_.emplace(std::move(keys));
  }
  RETURN_IF_ERROR(sensor->OpenKernel());
  if (!options.policy_file.empty()) {
    RETURN_IF_ERROR(sensor->EnforcePolicyFile());
    return sensor;
  }
  std::vector<HostPort> control_planes = options.control_planes;
  if (control_planes.empty()) {
    for (const ResolvedHost& host : sensor->known_addresses_) control_planes.push_back(host.name);
  }
  RETURN_IF_ERROR(sensor->ConnectTo(control_planes));
  return sensor;
}

absl::Status Sensor::OpenKernel() {
  if (absl::StatusOr<std::vector<ResolvedHost>> known = addresses_.Load(); known.ok()) {
    known_addresses_ = *std::move(known);
  } else {
    LogError("known addresses of the control plane were lost", {{"error", known.status().message()}});
  }
  // A guard that is up goes by an order or the code, not by other options.
  if (!options_.tamper_guard && options_.scope.empty()) {
    RETURN_IF_ERROR(RemoveTamperGuard(HostPinDirectory(options_.bpffs)));
  }
  ASSIGN_OR_RETURN(datapath_, OpenKernelFor(options_));
  RETURN_IF_ERROR(OpenGuard());
  ASSIGN_OR_RETURN(killer_, MakeProcessKiller(options_.scope));
  const std::vector<ControlPlaneEndpoint> endpoints = EndpointsOf(known_addresses_);
  if (!endpoints.empty()) RETURN_IF_ERROR(datapath_->SetControlPlane(endpoints));
  enforcer_.emplace(datapath_.get(), &desired_states_);
  if (authority_.has_value()) enforcer_->Demand(&*authority_);
  if (options_.policy_file.empty()) enforcer_->Restore();
  return absl::OkStatus();
}

// Before anything is applied: a process that an earlier guard does not know, or that was told otherwise, changes
// nothing.
absl::Status Sensor::OpenGuard() {
  guard_.emplace(&guard_code_, &events_, &clock_);
  if (!options_.tamper_guard) return absl::OkStatus();
  TamperGuardOptions guard;
  guard.pin_directory = HostPinDirectory(options_.bpffs);
  guard.rule_set_directory = HostRuleSetDirectory(options_.bpffs);
  guard.files.assign(std::begin(kUnitFiles), std::end(kUnitFiles));
  if (!options_.config_file.empty()) guard.files.push_back(options_.config_file);
  if (!options_.order_keys.empty()) guard.files.push_back(options_.order_keys);
  guard.trees = {options_.state_dir, guard.pin_directory};
  ASSIGN_OR_RETURN(guard.told, DescribeDirectory(options_.state_dir));
  ASSIGN_OR_RETURN(console_, GuardConsole::Open(options_.state_dir));
  absl::StatusOr<std::unique_ptr<KernelTamperGuard>> opened = KernelTamperGuard::Open(guard);
  // Without a guard that is up, a kernel that refuses the programs costs the guard, not the sensor.
  if (absl::IsPermissionDenied(opened.status()) && !RequireGuardDown(options_).ok()) return opened.status();
  guard_->Use(std::move(opened));
  return absl::OkStatus();
}

absl::Status Sensor::ConnectTo(const std::vector<HostPort>& control_planes) {
  absl::StatusOr<Identity> identity = identities_.Load();
  if (absl::IsNotFound(identity.status())) {
    return absl::FailedPreconditionError(absl::StrCat("this host is not enrolled: ", options_.state_dir,
                                                      " holds no identity; run bulkhead-sensor enroll first"));
  }
  RETURN_IF_ERROR(identity.status());
  if (control_planes.empty()) {
    return absl::InvalidArgumentError("control_plane: no control plane is given, and none is known from enrollment");
  }
  worker_.emplace(killer_.get(), [this](KillDone done) { mailbox_.Post(std::move(done)); });
  commands_.emplace(&command_log_, &*worker_, &*guard_);
  if (authority_.has_value()) commands_->Demand(&*authority_);
  renewer_.emplace(&identities_, *std::move(identity), Uniform);
  GrpcLinkOptions link;
  link.control_planes = control_planes;
  link.known = known_addresses_;
  link.uniform = Uniform;
  link_ = std::make_unique<GrpcLink>(link, [this](LinkMessage message) { mailbox_.Post(std::move(message)); });
  proofs_.emplace(&prover_, [this](ProofDone done) { mailbox_.Post(std::move(done)); });
  UplinkParts parts;
  parts.proofs = &*proofs_;
  parts.link = link_.get();
  parts.datapath = datapath_.get();
  parts.enforcer = &*enforcer_;
  parts.commands = &*commands_;
  parts.guard = &*guard_;
  parts.renewer = &*renewer_;
  parts.addresses = &addresses_;
  parts.events = &events_;
  parts.clock = &clock_;
  parts.host = ReadHostFacts(options_.scope);
  parts.facts = SensorFacts{renewer_->sensor_id(), {OwnExecutable()}, !known_addresses_.empty()};
  parts.uniform = Uniform;
  uplink_.emplace(std::move(parts));
  return absl::OkStatus();
}

absl::Status Sensor::EnforcePolicyFile() {
  ASSIGN_OR_RETURN(const DesiredState state, ReadPolicyFile(options_.policy_file));
  return enforcer_->AcceptLocal(state, SensorFacts{state.sensor_id, {OwnExecutable()}, false, false});
}

absl::Status Sensor::Run() {
  LogInfo("sensor is running", {{"version", BULKHEAD_VERSION},
                                {"scope", options_.scope.empty() ? "the whole host" : options_.scope},
                                {"state_dir", options_.state_dir}});
  LoopParts parts;
  parts.datapath = datapath_.get();
  parts.enforcer = &*enforcer_;
  parts.events = &events_;
  parts.mailbox = &mailbox_;
  parts.uplink = uplink_.has_value() ? &*uplink_ : nullptr;
  parts.keep_guard = [this] { return KeepGuard(); };
  parts.stop_fd = signals_.get();
  parts.publish_status = [this] { PublishStatus(); };
  RETURN_IF_ERROR(Loop(std::move(parts)).Run());
  LogInfo("sensor stopped; enforcement stays");
  return absl::OkStatus();
}

std::vector<std::string> Sensor::KeepGuard() {
  std::vector<std::string> changes = guard_->Maintain();
  if (console_ == nullptr) return changes;
  console_->ServeOne([this, &changes](absl::string_view code, absl::Duration duration) {
    CommandResult result = guard_->LowerByCode(renewer_->sensor_id(), code, duration);
    changes.push_back(result.message);
    return result;
  });
  return changes;
}

void Sensor::PublishStatus() {
  const std::string connection = uplink_.has_value() ? uplink_->description() : "none: a local policy file is enforced";
  ObservedState observed = enforcer_->Observe();
  guard_->AddTo(&observed);
  const std::string text = StatusText(observed, connection, clock_.Now());
  if (const absl::Status status = WriteFileAtomically(StatusFile(options_), text, 0600); !status.ok()) {
    LogWarning("status file was not written", {{"error", status.message()}});
  }
}

}  // namespace bulkhead::sensor
