// The subcommands of bulkhead-sensor other than `run`.
#include "sensor/app/commands.h"

#include <functional>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/app/enforcer.h"
#include "sensor/app/guard_console.h"
#include "sensor/app/host_facts.h"
#include "sensor/app/sensor.h"
#include "sensor/app/status_text.h"
#include "sensor/kernel/guard/tamper_guard.h"
#include "sensor/link/enroll_client.h"
#include "sensor/link/resolver.h"
#include "sensor/link/state_codec.h"
#include "sensor/store/address_store.h"
#include "sensor/store/identity_store.h"
#include "sensor/store/state_dir.h"
#include "sensor/store/x509.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLargestTokenFile = 4096;
constexpr absl::Duration kEnrollTimeout = absl::Seconds(30);

absl::StatusOr<std::string> ReadToken(const EnrollOptions& enroll) {
  if (enroll.token.empty() == enroll.token_file.empty()) {
    return absl::InvalidArgumentError("give exactly one of --token and --token-file");
  }
  if (!enroll.token.empty()) return enroll.token;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(enroll.token_file, kLargestTokenFile));
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  if (token.empty()) return absl::InvalidArgumentError(absl::StrCat(enroll.token_file, " is empty"));
  return std::string(token);
}

absl::StatusOr<EnrollRequest> PrepareEnrollment(const EnrollOptions& enroll) {
  EnrollRequest request;
  absl::StatusOr<HostPort> control_plane = ParseHostPort(enroll.control_plane);
  if (!control_plane.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--control-plane: ", control_plane.status().message()));
  }
  request.control_plane = *std::move(control_plane);
  ASSIGN_OR_RETURN(request.trust_bundle_pem, ReadFile(enroll.ca_file));
  ASSIGN_OR_RETURN(request.token, ReadToken(enroll));
  request.name = enroll.name.empty() ? absl::AsciiStrToLower(ReadHostFacts("").hostname) : enroll.name;
  return request;
}

// The desired state that a `run` after `uninstall` must not bring back.
absl::Status ForgetDesiredState(const Options& options) {
  RETURN_IF_ERROR(StateFile(absl::StrCat(options.state_dir, "/desired-state"), "desired-state", 1).Remove());
  return DesiredStateStore(options.state_dir).Discard();
}

DatapathOptions KernelOptions(const Options& options) {
  DatapathOptions kernel;
  kernel.scope = options.scope;
  kernel.bpffs = options.bpffs;
  return kernel;
}

// Opens the kernel to look at it. Programs that only this call attached do not stay.
absl::Status LookAtKernel(const Options& options, const std::function<absl::Status(Datapath&)>& look) {
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<Datapath> datapath, OpenDatapath(KernelOptions(options)));
    RETURN_IF_ERROR(look(*datapath));
  }
  return RemoveIdleDatapath(KernelOptions(options));
}

absl::Status PrintObserved(Datapath& datapath) {
  ASSIGN_OR_RETURN(const ObservedState observed, datapath.Observe());
  std::cout << StatusText(observed, "none: no sensor is running", absl::Now());
  return absl::OkStatus();
}

absl::Status PrintPublished(const Options& options) {
  const absl::StatusOr<std::string> text = ReadFile(StatusFile(options));
  if (absl::IsNotFound(text.status())) {
    std::cout << "running:      starting\n";
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(text.status());
  std::cout << "running:      yes\n" << *text;
  return absl::OkStatus();
}

}  // namespace

absl::Status EnrollHost(const Options& options, const EnrollOptions& enroll) {
  ASSIGN_OR_RETURN(EnrollRequest request, PrepareEnrollment(enroll));
  RETURN_IF_ERROR(PrepareStateDir(options.state_dir));
  const IdentityStore identities(options.state_dir);
  if (!enroll.force && !absl::IsNotFound(identities.Load().status())) {
    return absl::AlreadyExistsError(
        absl::StrCat(options.state_dir, " holds an identity already; use --force to replace it"));
  }
  ASSIGN_OR_RETURN(KeyAndRequest key, MakeKeyAndRequest());
  request.csr_der = key.csr_der;
  ASSIGN_OR_RETURN(const EnrollAnswer answer, Enroll(request, kEnrollTimeout));
  RETURN_IF_ERROR(identities.Replace({key.key_pem, answer.chain_pem, answer.trust_bundle_pem}));
  RETURN_IF_ERROR(AddressStore(options.state_dir).Save(Resolver({}).Resolve({request.control_plane}, kEnrollTimeout)));
  std::cout << "enrolled as " << answer.name << " (" << answer.sensor_id << ")\n";
  return absl::OkStatus();
}

absl::Status RestoreStoredState(const Options& options) {
  RETURN_IF_ERROR(PrepareStateDir(options.state_dir));
  ASSIGN_OR_RETURN(const UniqueFd lock, LockStateDir(options.state_dir));
  ASSIGN_OR_RETURN(const std::unique_ptr<Datapath> datapath, OpenKernelFor(options));
  const absl::StatusOr<std::vector<ResolvedHost>> known = AddressStore(options.state_dir).Load();
  // Without addresses the wall still goes up: a contained host stays contained, and the sensor resolves them when it
  // starts.
  if (known.ok() && !known->empty()) RETURN_IF_ERROR(datapath->SetControlPlane(EndpointsOf(*known)));
  DesiredStateStore store(options.state_dir);
  Enforcer enforcer(datapath.get(), &store);
  enforcer.Restore();
  const ObservedState observed = enforcer.Observe();
  if (!observed.critical.empty()) return absl::InternalError(observed.critical.front());
  if (enforcer.in_force().generation == 0 && !observed.degraded.empty()) {
    return absl::InternalError(absl::StrJoin(observed.degraded, "; "));
  }
  std::cout << StatusText(observed, "none: enforcing the stored state at boot", absl::Now());
  return absl::OkStatus();
}

absl::Status PrintStatus(const Options& options) {
  const absl::StatusOr<Identity> identity = IdentityStore(options.state_dir).Load();
  if (identity.ok()) {
    std::cout << "sensor:       " << identity->facts.sensor_id << "\n"
              << "certificate:  until "
              << absl::FormatTime(absl::RFC3339_sec, identity->facts.not_after, absl::UTCTimeZone()) << "\n";
  } else if (absl::IsNotFound(identity.status())) {
    std::cout << "sensor:       not enrolled\n";
  } else {
    std::cout << "sensor:       identity is unusable: " << identity.status().message() << "\n";
  }
  // Then the kernel shows nothing to anybody but the sensor.
  if (!RequireGuardDown(options).ok()) return PrintPublished(options);
  const absl::StatusOr<UniqueFd> lock = LockStateDir(options.state_dir);
  if (absl::IsFailedPrecondition(lock.status())) return PrintPublished(options);
  RETURN_IF_ERROR(lock.status());
  std::cout << "running:      no\n";
  return LookAtKernel(options, PrintObserved);
}

absl::Status PrintFeatures(const Options& options) {
  return LookAtKernel(options, [](Datapath& datapath) {
    std::cout << CapabilitiesToJson(datapath.capabilities());
    return absl::OkStatus();
  });
}

absl::Status LowerGuardByCode(const Options& options, const LowerGuardOptions& lower) {
  absl::Duration duration;
  if (!absl::ParseDuration(lower.duration, &duration) || duration < absl::Seconds(1) || duration > kLongestGuardDown) {
    return absl::InvalidArgumentError(
        absl::StrCat("--for: \"", lower.duration, "\" is not within 1s..1h, such as 10m"));
  }
  std::string code = lower.code;
  if (code.empty()) {
    std::cout << "offline code: " << std::flush;
    std::getline(std::cin, code);
  }
  ASSIGN_OR_RETURN(const std::string answer, GiveGuardCode(options.state_dir, code, duration));
  std::cout << answer << "\n";
  return absl::OkStatus();
}

absl::Status Uninstall(const Options& options, bool force) {
  RETURN_IF_ERROR(PrepareStateDir(options.state_dir));
  ASSIGN_OR_RETURN(const UniqueFd lock, LockStateDir(options.state_dir));
  if (!force) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Datapath> datapath, OpenDatapath(KernelOptions(options)));
    ASSIGN_OR_RETURN(const ObservedState observed, datapath->Observe());
    if (observed.older_sensor_in_force) {
      return absl::FailedPreconditionError(
          "an earlier sensor's enforcement is in force, which this version does not read; start this one and release "
          "the "
          "host first, or use --force to lift everything now");
    }
    if (observed.contained || observed.isolated || observed.scoped_wall) {
      return absl::FailedPreconditionError(
          absl::StrCat(observed.isolated    ? "this host is isolated"
                       : observed.contained ? "this host is contained"
                                            : "a part of this host is contained or isolated",
                       "; release it first (bulkheadctl sensor release), or use --force to lift everything now"));
    }
  }
  // Its pins are in the same directory.
  if (options.scope.empty()) RETURN_IF_ERROR(RemoveTamperGuard(HostPinDirectory(options.bpffs)));
  RETURN_IF_ERROR(RemoveDatapath(KernelOptions(options)));
  return ForgetDesiredState(options);
}

}  // namespace bulkhead::sensor
