// Blocked binaries: path to file identity.
#include "sensor/kernel/blocked_files.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "bulkhead/decide_exec.h"
#include "common/errno_status.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "sensor/kernel/bpf_iter.h"

namespace bulkhead::sensor {
namespace {

// A path whose file is replaced over and over forgets the oldest ones.
constexpr size_t kMaxFilesPerPolicy = 64;

bool Same(const bh_file_key& a, const bh_file_key& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}
bool Same(const bh_policy_key& a, const bh_policy_key& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

uint32_t ActionNumber(PolicyAction action) {
  switch (action) {
    case PolicyAction::kDeny:
      return BH_ACTION_DENY;
    case PolicyAction::kSigkill:
      return BH_ACTION_SIGKILL;
    case PolicyAction::kNotify:
      return BH_ACTION_NOTIFY;
  }
  return BH_ACTION_SIGKILL;
}

}  // namespace

bh_policy_key PolicyKey(const std::string& policy_id) {
  bh_policy_key key{};
  const std::string bytes =
      IsUuid(policy_id) ? absl::HexStringToBytes(absl::StrReplaceAll(policy_id, {{"-", ""}})) : Sha256(policy_id);
  std::memcpy(key.bytes, bytes.data(), sizeof(key.bytes));
  return key;
}

bh_path_key PathKey(const std::string& path) {
  bh_path_key key;
  bh_path_hash_start(&key, path.size());
  for (size_t done = 0; done < path.size(); done += 8) {
    uint64_t word = 0;
    std::memcpy(&word, path.data() + done, std::min<size_t>(8, path.size() - done));
    bh_path_hash_word(&key, word);
  }
  return key;
}

absl::StatusOr<bh_file_key> FileIdentifier::Identify(const std::string& path) const {
  // O_PATH: needs no permission on the file, opens no device, wakes no automounter.
  const UniqueFd file(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!file.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", path));
  const uint32_t zero = 0;
  const bh_target target{static_cast<uint32_t>(getpid()), static_cast<uint32_t>(file.get()), 0};
  RETURN_IF_ERROR(want_->Update(&zero, &target));
  bpf_iter_link_info info{};
  info.task.pid = getpid();
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  ASSIGN_OR_RETURN(const std::string written, RunIterator(program_, &options));
  if (written.size() < sizeof(bh_file_key)) {
    return absl::InternalError(absl::StrCat("the kernel did not identify ", path));
  }
  bh_file_key key;
  std::memcpy(&key, written.data(), sizeof(key));
  return key;
}

void BlockedFiles::Reset(const DesiredState& state, const FileRules& adopted,
                         const std::function<uint64_t(const Policy&)>& expires) {
  FileRules known = files();
  known.insert(known.end(), adopted.begin(), adopted.end());
  std::map<std::string, Blocked> next;
  for (const Policy& policy : state.policies) {
    if (policy.policy_template != PolicyTemplate::kBlockBinary) continue;
    Blocked& blocked = next[policy.binary_path];
    const bool taken = !blocked.path.empty();
    if (taken && (policy.action == PolicyAction::kNotify || blocked.rule.action != BH_ACTION_NOTIFY)) continue;
    blocked.path = policy.binary_path;
    blocked.rule = {PolicyKey(policy.id), ActionNumber(policy.action), 0, expires(policy)};
  }
  for (auto& [path, blocked] : next) {
    for (const auto& [file, rule] : known) {
      const bool seen =
          std::any_of(blocked.files.begin(), blocked.files.end(), [&f = file](const auto& k) { return Same(k, f); });
      if (!seen && Same(rule.policy, blocked.rule.policy)) blocked.files.push_back(file);
    }
  }
  blocked_ = std::move(next);
}

bool BlockedFiles::Refresh(const FileIdentifier& identifier) {
  bool added = false;
  for (auto& [path, blocked] : blocked_) {
    const absl::StatusOr<bh_file_key> file = identifier.Identify(path);
    if (!file.ok()) continue;
    const auto known =
        std::find_if(blocked.files.begin(), blocked.files.end(), [&file](const auto& key) { return Same(key, *file); });
    if (known != blocked.files.end()) continue;
    blocked.files.push_back(*file);
    if (blocked.files.size() > kMaxFilesPerPolicy) blocked.files.pop_front();
    added = true;
  }
  return added;
}

PathRules BlockedFiles::paths() const {
  PathRules rules;
  for (const auto& [path, blocked] : blocked_) rules.emplace_back(PathKey(path), blocked.rule);
  return rules;
}

// Two paths may lead to one file: the rule that stops wins, and each key is there once.
FileRules BlockedFiles::files() const {
  FileRules rules;
  for (const auto& [path, blocked] : blocked_) {
    for (const bh_file_key& file : blocked.files) {
      const auto known =
          std::find_if(rules.begin(), rules.end(), [&f = file](const auto& entry) { return Same(entry.first, f); });
      if (known == rules.end()) {
        rules.emplace_back(file, blocked.rule);
      } else if (known->second.action == BH_ACTION_NOTIFY) {
        known->second = blocked.rule;
      }
    }
  }
  return rules;
}

}  // namespace bulkhead::sensor
