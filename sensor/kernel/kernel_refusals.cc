// Which policies this host does not take, while it takes the others.
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "sensor/kernel/found_file.h"
#include "sensor/kernel/kernel_datapath.h"
#include "sensor/kernel/needed_files.h"

namespace bulkhead::sensor {
namespace {

absl::Status Needed(const NeededFile& file, absl::string_view subject) {
  return absl::FailedPreconditionError(absl::StrCat(
      subject, " is ", file.what, " (", file.path, "): ",
      file.own ? "blocking it would lock the sensor out, so it is refused also when forced"
               : "without it this host may not work or boot; order it with force to block it all the same"));
}

// Would this block break the host? A file that is not there yet cannot be told.
absl::Status CheckBlock(const Policy& policy, const NeededFiles& needed) {
  if (!policy.binary_sha256.empty()) {
    const NeededFile* what = needed.FindContent(policy.binary_sha256);
    if (what != nullptr && (what->own || !policy.forced)) return Needed(*what, "the content of that SHA-256");
  }
  if (policy.binary_path.empty()) return absl::OkStatus();
  const absl::StatusOr<FoundFile> file = FoundFile::Open(policy.binary_path);
  if (absl::IsFailedPrecondition(file.status())) return file.status();
  if (!file.ok()) return absl::OkStatus();
  const absl::StatusOr<FileContent> content = file->Read();
  const NeededFile* what = needed.Find(*file, content.value_or(FileContent()));
  if (what == nullptr || (policy.forced && !what->own)) return absl::OkStatus();
  return Needed(*what, policy.binary_path);
}

absl::Status RequireTier(Tier tier, absl::string_view what) {
  if (tier != Tier::kNone) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this kernel has no hook for ", what, "; see the sensor's mechanisms"));
}

}  // namespace

// Is there a hook for this policy, and can the maps hold it?
absl::Status KernelDatapath::CheckSupported(const Policy& policy) const {
  if (policy.policy_template == PolicyTemplate::kNetworkContainment) {
    return RequireTier(capabilities().containment, "network containment");
  }
  if (policy.policy_template == PolicyTemplate::kNetworkIsolation) {
    return RequireTier(capabilities().isolation, "network isolation");
  }
  if (policy.policy_template == PolicyTemplate::kAllowList) {
    return RequireTier(capabilities().allow_list, "allow-lists");
  }
  RETURN_IF_ERROR(RequireTier(capabilities().block_binary, "blocking binaries"));
  const std::string& path = policy.binary_path;
  const bool content_only = path.empty() && policy.binary_sha256.size() == BH_DIGEST_BYTES;
  if (content_only || (!path.empty() && path[0] == '/' && path.size() < BH_PATH_BYTES)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("policy ", policy.id, ": path \"", policy.binary_path,
                                                 "\" is not absolute or longer than 4095 bytes"));
}

// What is asked about a policy once, before it is first in force.
absl::Status KernelDatapath::CheckNew(const Policy& policy, const DesiredState& in_force,
                                      std::optional<NeededFiles>* needed) const {
  RETURN_IF_ERROR(scoped_.Check(policy, in_force));
  if (in_force.FindId(policy.id) != nullptr) return absl::OkStatus();
  if (policy.policy_template == PolicyTemplate::kAllowList) return CheckListScope(policy, scope_);
  if (policy.policy_template != PolicyTemplate::kBlockBinary) return absl::OkStatus();
  if (!needed->has_value()) *needed = NeededFiles::OfThisHost();
  return CheckBlock(policy, **needed);
}

std::vector<Refusal> KernelDatapath::Refusals(const DesiredState& state, const DesiredState& in_force) {
  std::vector<Refusal> refusals;
  std::optional<NeededFiles> needed;
  for (const Policy& policy : state.policies) {
    if (!policy.refused.empty()) continue;
    absl::Status status = CheckSupported(policy);
    if (status.ok()) status = CheckNew(policy, in_force, &needed);
    if (!status.ok()) refusals.push_back({policy.id, std::string(status.message())});
  }
  return refusals;
}

}  // namespace bulkhead::sensor
