// Which policies this host does not take, while it takes the others.
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
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

// Would it break the host to block this content?
absl::Status CheckContent(const std::string& sha256, bool forced, absl::string_view subject, NeededFiles* needed) {
  if (sha256.empty()) return absl::OkStatus();
  const NeededFile* what = needed->FindContent(sha256);
  return what != nullptr && (what->own || !forced) ? Needed(*what, subject) : absl::OkStatus();
}

// Or this path? FailedPrecondition also when nothing there can be executed; a file that is not there yet cannot be
// told.
absl::Status CheckPath(const std::string& path, bool forced, const NeededFiles& needed) {
  const absl::StatusOr<FoundFile> file = FoundFile::Open(path);
  if (absl::IsFailedPrecondition(file.status())) return file.status();
  if (!file.ok()) return absl::OkStatus();
  const absl::StatusOr<FileContent> content = file->Read();
  const NeededFile* what = needed.Find(*file, content.value_or(FileContent()));
  return what != nullptr && (what->own || !forced) ? Needed(*what, path) : absl::OkStatus();
}

absl::Status CheckBlock(const Policy& policy, NeededFiles* needed) {
  RETURN_IF_ERROR(CheckContent(policy.binary_sha256, policy.forced, "the content of that SHA-256", needed));
  if (!policy.binary_path.empty()) RETURN_IF_ERROR(CheckPath(policy.binary_path, policy.forced, *needed));
  for (const BlockedBinary& binary : policy.blocked) {
    RETURN_IF_ERROR(CheckContent(binary.sha256, policy.forced,
                                 absl::StrCat("the content of SHA-256 ", ToHex(binary.sha256)), needed));
    if (binary.path.empty()) continue;
    // A directory among many paths is left out, and told when the list is observed.
    const absl::StatusOr<FoundFile> file = FoundFile::Open(binary.path);
    if (file.ok()) RETURN_IF_ERROR(CheckPath(binary.path, policy.forced, *needed));
  }
  return absl::OkStatus();
}

// Can the kernel's maps hold what names the file?
bool IsBlockable(const std::string& path, const std::string& sha256) {
  if (path.empty()) return sha256.size() == BH_DIGEST_BYTES;
  return path[0] == '/' && path.size() < BH_PATH_BYTES;
}

absl::Status NotBlockable(const Policy& policy, const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("policy ", policy.id, ": path \"", path, "\" is not absolute or longer than 4095 bytes"));
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
  for (const BlockedBinary& binary : policy.blocked) {
    if (!IsBlockable(binary.path, binary.sha256)) return NotBlockable(policy, binary.path);
  }
  if (!policy.blocked.empty() || IsBlockable(policy.binary_path, policy.binary_sha256)) return absl::OkStatus();
  return NotBlockable(policy, policy.binary_path);
}

// What is asked about a policy once, before it is first in force.
absl::Status KernelDatapath::CheckNew(const Policy& policy, const DesiredState& in_force,
                                      std::optional<NeededFiles>* needed) const {
  RETURN_IF_ERROR(scoped_.Check(policy, in_force));
  if (in_force.FindId(policy.id) != nullptr) return absl::OkStatus();
  if (policy.policy_template == PolicyTemplate::kAllowList) return CheckListScope(policy, scope_);
  if (policy.policy_template != PolicyTemplate::kBlockBinary) return absl::OkStatus();
  if (!needed->has_value()) *needed = NeededFiles::OfThisHost();
  return CheckBlock(policy, &**needed);
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
