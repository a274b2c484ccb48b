// What ran in scopes that are learned.
#include "sensor/kernel/learned_files.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "sensor/kernel/found_file.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMaxListed = 4096;            // as ObservedPolicy.learned says
constexpr size_t kMaxPathBytes = 1024 * 1024;  // of one list, so that a heartbeat stays small
constexpr int kFilesPerRound = 64;             // they are hashed on the sensor's loop
constexpr int kMaxTries = 3;
constexpr int kDone = kMaxTries;
constexpr size_t kMaxRoots = 16;

bool IsMark(const bh_learned_key& key) {
  const bh_file_key none{};
  return std::memcmp(&key.file, &none, sizeof(none)) == 0;
}

bh_learned_key MarkOf(const std::string& policy_id) {
  return {PolicyKey(policy_id), {}};
}

// Where the file may be seen: first as this host names it, then as those do that may have run it.
std::vector<std::string> Views(const bh_learned& found, const Scope& scope) {
  const std::string path(found.path, strnlen(found.path, sizeof(found.path)));
  if (!absl::StartsWith(path, "/")) return {};
  std::vector<std::string> views = {path, absl::StrCat("/proc/", found.tgid, "/root", path)};
  const std::vector<pid_t> pids = scope.path.empty() ? std::vector<pid_t>() : ProcessesIn(scope);
  for (size_t i = 0; i < std::min(pids.size(), kMaxRoots); ++i) {
    views.push_back(absl::StrCat("/proc/", pids[i], "/root", path));
  }
  return views;
}

}  // namespace

bool LearnedFiles::KeyLess::operator()(const bh_learned_key& a, const bh_learned_key& b) const {
  return std::memcmp(&a, &b, sizeof(a)) < 0;
}

absl::Status LearnedFiles::Reset(const BpfMap& map, const std::map<std::string, Scope>& learning) {
  std::map<std::string, Learned> kept;
  for (const auto& [id, scope] : learning) kept[id] = by_policy_[id];
  by_policy_ = std::move(kept);
  ASSIGN_OR_RETURN(const std::vector<bh_learned_key> keys, map.Keys<bh_learned_key>());
  for (const bh_learned_key& key : keys) {
    const bool wanted = std::any_of(learning.begin(), learning.end(), [&key](const auto& entry) {
      const bh_policy_key policy = PolicyKey(entry.first);
      return std::memcmp(&policy, &key.policy, sizeof(policy)) == 0;
    });
    if (wanted) continue;
    tries_.erase(key);
    RETURN_IF_ERROR(map.Delete(&key));
  }
  for (const auto& [id, scope] : learning) {
    const bh_learned_key mark = MarkOf(id);
    const bh_learned nothing{};
    if (!map.Get<bh_learned>(mark).ok()) RETURN_IF_ERROR(map.Update(&mark, &nothing));
  }
  return absl::OkStatus();
}

// A path counts only when the very file that ran is behind it.
bool LearnedFiles::Take(const bh_learned_key& key, const bh_learned& found, const FileIdentifier& identifier,
                        const Scope& scope, Learned* learned) {
  const bool script = key.file.device == BH_LEARNED_SCRIPT;
  const std::vector<std::string> views = Views(found, scope);
  for (const std::string& view : views) {
    const absl::StatusOr<FoundFile> file = FoundFile::Open(view);
    if (!file.ok()) continue;
    const absl::StatusOr<bh_file_key> identity = identifier.Identify(*file);
    if (!script && (!identity.ok() || std::memcmp(&*identity, &key.file, sizeof(key.file)) != 0)) continue;
    const absl::StatusOr<FileContent> content = file->Read();
    if (!content.ok()) continue;
    AllowedBinary binary{view == views.front() ? view : std::string(), content->sha256};
    if (learned->binaries.size() >= kMaxListed || learned->bytes + binary.path.size() > kMaxPathBytes) {
      learned->truncated = true;
    } else {
      learned->bytes += binary.path.size();
      learned->binaries.insert(std::move(binary));
    }
    return true;
  }
  return false;
}

absl::Status LearnedFiles::Refresh(const BpfMap& map, const FileIdentifier& identifier,
                                   const std::map<std::string, Scope>& learning) {
  if (learning.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<bh_learned_key> keys, map.Keys<bh_learned_key>());
  int looked = 0;
  for (const auto& [id, scope] : learning) {
    Learned& learned = by_policy_[id];
    const bh_learned_key mark = MarkOf(id);
    const absl::StatusOr<bh_learned> marked = map.Get<bh_learned>(mark);
    if (marked.ok() && marked->more != 0) learned.truncated = true;
    for (const bh_learned_key& key : keys) {
      const bool ours = std::memcmp(&key.policy, &mark.policy, sizeof(key.policy)) == 0 && !IsMark(key);
      if (!ours || tries_[key] == kDone || looked == kFilesPerRound) continue;
      ++looked;
      const absl::StatusOr<bh_learned> found = map.Get<bh_learned>(key);
      if (found.ok() && Take(key, *found, identifier, scope, &learned)) {
        tries_[key] = kDone;
      } else if (++tries_[key] == kDone) {
        ++learned.unreadable;
      }
    }
  }
  return absl::OkStatus();
}

Learned LearnedFiles::Of(const std::string& policy_id) const {
  const auto learned = by_policy_.find(policy_id);
  return learned == by_policy_.end() ? Learned() : learned->second;
}

}  // namespace bulkhead::sensor
