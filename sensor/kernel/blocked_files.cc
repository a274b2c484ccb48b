// Blocked binaries: path and digest to what identifies the files.
#include "sensor/kernel/blocked_files.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "bulkhead/decide_exec.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "sensor/kernel/bpf_iter.h"

namespace bulkhead::sensor {
namespace {

// A path whose file is replaced over and over forgets the oldest ones.
constexpr size_t kMaxFound = 64;
constexpr size_t kPathsAtOnce = 4096;
constexpr size_t kMaxProblemsShown = 3;

template <typename T>
bool Same(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

template <typename T>
bool IsLess(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(a)) < 0;
}

// True when it was not there. The oldest goes when there are too many; what an earlier sensor left may be more.
template <typename T>
bool AddNew(const T& key, std::vector<T>* known) {
  if (std::any_of(known->begin(), known->end(), [&key](const T& other) { return Same(other, key); })) return false;
  if (known->size() >= kMaxFound) known->erase(known->begin());
  known->push_back(key);
  return true;
}

// A content that is known without its size, or with it, is one content. True when something is new.
bool AddSize(uint64_t size, uint64_t* known) {
  if (size == 0 || *known != 0) return false;
  *known = size;
  return true;
}

const bh_exec_rule& RuleOf(const bh_exec_rule& rule) {
  return rule;
}
const bh_exec_rule& RuleOf(const bh_digest_rule& rule) {
  return rule.rule;
}

// Two policies may lead to one file: the rule that stops wins, and of two such the one that lasts longer.
bool IsStronger(const bh_exec_rule& a, const bh_exec_rule& b) {
  const bool stops = a.action != BH_ACTION_NOTIFY;
  if (stops != (b.action != BH_ACTION_NOTIFY)) return stops;
  return b.expires != 0 && (a.expires == 0 || a.expires > b.expires);
}

// Sorted, each key once, with the stronger rule.
template <typename Key, typename Value>
void Merge(std::vector<std::pair<Key, Value>>* rules) {
  std::sort(rules->begin(), rules->end(), [](const auto& a, const auto& b) { return IsLess(a.first, b.first); });
  size_t kept = 0;
  for (const auto& entry : *rules) {
    if (kept == 0 || !Same((*rules)[kept - 1].first, entry.first)) {
      (*rules)[kept++] = entry;
    } else if (IsStronger(RuleOf(entry.second), RuleOf((*rules)[kept - 1].second))) {
      (*rules)[kept - 1].second = entry.second;
    }
  }
  rules->resize(kept);
}

}  // namespace

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

bh_policy_key PolicyKey(const std::string& policy_id) {
  bh_policy_key key{};
  const std::string bytes =
      IsUuid(policy_id) ? absl::HexStringToBytes(absl::StrReplaceAll(policy_id, {{"-", ""}})) : Sha256(policy_id);
  std::memcpy(key.bytes, bytes.data(), sizeof(key.bytes));
  return key;
}

std::string KeyText(const bh_policy_key& key) {
  return std::string(reinterpret_cast<const char*>(key.bytes), sizeof(key.bytes));
}

bh_digest_key DigestKey(const std::string& sha256) {
  bh_digest_key key{};
  std::memcpy(key.bytes, sha256.data(), std::min(sha256.size(), sizeof(key.bytes)));
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

absl::StatusOr<bh_file_key> FileIdentifier::Identify(const FoundFile& file) const {
  const uint32_t zero = 0;
  const bh_target target{static_cast<uint32_t>(getpid()), static_cast<uint32_t>(file.fd()), 0};
  RETURN_IF_ERROR(want_->Update(&zero, &target));
  bpf_iter_link_info info{};
  info.task.pid = getpid();
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  ASSIGN_OR_RETURN(const std::string written, RunIterator(program_, &options));
  if (written.size() < sizeof(bh_file_key)) return absl::InternalError("the kernel did not identify a file");
  bh_file_key key;
  std::memcpy(&key, written.data(), sizeof(key));
  return key;
}

std::vector<BlockedBinary> BlockedFiles::BinariesOf(const Policy& policy) {
  if (!policy.blocked.empty()) return policy.blocked;
  return {{policy.binary_path, policy.binary_sha256}};
}

// What identifies the files that a policy names is found anew, or was found by an earlier sensor.
BlockedFiles::Blocked BlockedFiles::Start(const Policy& policy) {
  Blocked blocked;
  for (const BlockedBinary& binary : BinariesOf(policy)) {
    if (!binary.path.empty()) blocked.paths.push_back({binary.path, {}, {}, {}, {}});
    if (!binary.sha256.empty()) blocked.ordered.emplace_back(DigestKey(binary.sha256), 0);
  }
  std::sort(blocked.ordered.begin(), blocked.ordered.end(),
            [](const auto& a, const auto& b) { return IsLess(a.first, b.first); });
  const auto same = [](const auto& a, const auto& b) { return Same(a.first, b.first); };
  blocked.ordered.erase(std::unique(blocked.ordered.begin(), blocked.ordered.end(), same), blocked.ordered.end());
  return blocked;
}

bool BlockedFiles::IsAsBefore(const Policy& policy, const Blocked& before) {
  const Blocked now = Start(policy);
  return std::equal(now.paths.begin(), now.paths.end(), before.paths.begin(), before.paths.end(),
                    [](const auto& a, const auto& b) { return a.path == b.path; }) &&
         std::equal(now.ordered.begin(), now.ordered.end(), before.ordered.begin(), before.ordered.end(),
                    [](const auto& a, const auto& b) { return Same(a.first, b.first); });
}

void BlockedFiles::Adopt(const FoundRules& adopted, const std::map<std::string, Blocked*>& fresh) {
  const auto find = [&fresh](const bh_policy_key& policy) -> Blocked* {
    const auto found = fresh.find(KeyText(policy));
    return found == fresh.end() ? nullptr : found->second;
  };
  for (const auto& [file, rule] : adopted.files) {
    if (Blocked* blocked = find(rule.policy)) blocked->copies.files.push_back(file);
  }
  for (const auto& [print, rule] : adopted.prints) {
    if (Blocked* blocked = find(rule.policy)) blocked->copies.prints.push_back(print);
  }
  for (const auto& [digest, rule] : adopted.digests) {
    Blocked* blocked = find(rule.rule.policy);
    if (blocked == nullptr) continue;
    if (uint64_t* size = SizeOfOrdered(digest, blocked)) {
      AddSize(rule.size, size);
    } else {
      blocked->copies.contents.emplace_back(digest, rule.size);
    }
  }
}

void BlockedFiles::Reset(const DesiredState& state, const FoundRules& adopted,
                         const std::function<uint64_t(const Policy&)>& expires) {
  std::map<std::string, Blocked> next;
  std::map<std::string, Blocked*> fresh;  // by the policy's key
  for (const Policy& policy : state.policies) {
    if (policy.policy_template != PolicyTemplate::kBlockBinary) continue;
    const auto before = blocked_.find(policy.id);
    Blocked& blocked = next[policy.id];
    const bool known = before != blocked_.end() && IsAsBefore(policy, before->second);
    blocked = known ? std::move(before->second) : Start(policy);
    blocked.forced = policy.forced;
    blocked.rule = {PolicyKey(policy.id), ActionNumber(policy.action), 0, expires(policy)};
    if (!known) fresh[KeyText(blocked.rule.policy)] = &blocked;
  }
  Adopt(adopted, fresh);
  blocked_ = std::move(next);
  Rebuild();
}

uint64_t* BlockedFiles::SizeOfOrdered(const bh_digest_key& digest, Blocked* blocked) {
  const auto at = std::lower_bound(blocked->ordered.begin(), blocked->ordered.end(), digest,
                                   [](const auto& entry, const auto& key) { return IsLess(entry.first, key); });
  return at != blocked->ordered.end() && Same(at->first, digest) ? &at->second : nullptr;
}

bool BlockedFiles::AddContent(const FileContent& content, Blocked* blocked, Found* found) {
  if (content.size == 0) return false;  // an empty file runs nowhere, and every empty file is its copy
  const bh_digest_key digest = DigestKey(content.sha256);
  const bool print = AddNew(content.print, &found->prints);
  if (uint64_t* size = SizeOfOrdered(digest, blocked)) return AddSize(content.size, size) || print;
  const auto known = std::find_if(found->contents.begin(), found->contents.end(),
                                  [&digest](const auto& entry) { return Same(entry.first, digest); });
  if (known != found->contents.end()) return AddSize(content.size, &known->second) || print;
  if (found->contents.size() >= kMaxFound) found->contents.erase(found->contents.begin());
  found->contents.emplace_back(digest, content.size);
  return true;
}

bool BlockedFiles::RefreshOne(const FileIdentifier& identifier, std::optional<NeededFiles>* needed, Blocked* blocked,
                              BlockedPath* path) {
  const absl::StatusOr<FoundFile> file = FoundFile::Open(path->path);
  if (!file.ok()) {
    // A block may come before its file.
    path->problem = absl::IsNotFound(file.status()) ? std::string() : std::string(file.status().message());
    return false;
  }
  if (file->witness() == path->witness) return false;
  const absl::StatusOr<FileContent> content = file->Read();
  if (!needed->has_value()) *needed = NeededFiles::OfThisHost();
  const NeededFile* what = (*needed)->Find(*file, content.value_or(FileContent()));
  if (what != nullptr && (what->own || !blocked->forced)) {
    path->problem = absl::StrCat("what is behind ", path->path, " now is ", what->what, " (", what->path,
                                 "): blocked under this path only");
    return false;
  }
  const absl::StatusOr<bh_file_key> key = identifier.Identify(*file);
  if (!key.ok()) {
    path->problem = absl::StrCat(path->path, " is blocked under this path only: ", key.status().message());
    return false;
  }
  bool added = AddNew(*key, &path->found.files);
  path->witness = file->witness();
  path->sha256 = content.ok() ? content->sha256 : std::string();
  path->problem = content.ok()
                      ? std::string()
                      : absl::StrCat("copies of ", path->path, " are not stopped: ", content.status().message());
  if (content.ok()) added = AddContent(*content, blocked, &path->found) || added;
  return added;
}

bool BlockedFiles::Refresh(const FileIdentifier& identifier) {
  size_t total = 0;
  for (const auto& [id, blocked] : blocked_) total += blocked.paths.size();
  std::optional<NeededFiles> needed;
  bool added = false;
  size_t at = 0;
  const size_t first = next_path_ < total ? next_path_ : 0;
  for (auto& [id, blocked] : blocked_) {
    for (BlockedPath& path : blocked.paths) {
      const size_t turn = at >= first ? at - first : at + total - first;
      ++at;
      if (!blocked.fresh && turn >= kPathsAtOnce) continue;
      added = RefreshOne(identifier, &needed, &blocked, &path) || added;
    }
    blocked.fresh = false;
  }
  next_path_ = total == 0 ? 0 : (first + kPathsAtOnce) % total;
  if (added) Rebuild();
  return added;
}

std::vector<std::pair<bh_digest_key, BlockedFiles::Blocked*>> BlockedFiles::ByContent() {
  std::vector<std::pair<bh_digest_key, Blocked*>> known;
  for (auto& [id, blocked] : blocked_) {
    const auto add = [&known, owner = &blocked](const Contents& contents) {
      for (const auto& [digest, size] : contents) known.emplace_back(digest, owner);
    };
    add(blocked.ordered);
    add(blocked.copies.contents);
    for (const BlockedPath& path : blocked.paths) add(path.found.contents);
  }
  std::sort(known.begin(), known.end(), [](const auto& a, const auto& b) { return IsLess(a.first, b.first); });
  return known;
}

void BlockedFiles::AddRunningCopies(const FileIdentifier& identifier, const Scope& scope) {
  const bool any_size = (content_flags(true) & BH_CONTENT_ANY_SIZE) != 0;
  std::set<uint64_t> sizes;
  for (const auto& [digest, rule] : found_.digests) sizes.insert(rule.size);
  const std::vector<std::pair<bh_digest_key, Blocked*>> known = ByContent();
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const pid_t pid : ProcessesIn(scope)) {
    const absl::StatusOr<FoundFile> file = FoundFile::Open(absl::StrCat("/proc/", pid, "/exe"));
    if (!file.ok() || !seen.insert({file->witness().device, file->witness().inode}).second) continue;
    if (!any_size && sizes.count(file->witness().size) == 0) continue;
    const absl::StatusOr<FileContent> content = contents_.Read(*file);
    if (!content.ok()) continue;
    const bh_digest_key digest = DigestKey(content->sha256);
    auto at = std::lower_bound(known.begin(), known.end(), digest,
                               [](const auto& entry, const auto& key) { return IsLess(entry.first, key); });
    for (; at != known.end() && Same(at->first, digest); ++at) {
      const absl::StatusOr<bh_file_key> key = identifier.Identify(*file);
      if (key.ok()) AddNew(*key, &at->second->copies.files);
      // Its size, and what a kernel that cannot hash looks for.
      AddContent(*content, at->second, &at->second->copies);
    }
  }
  Rebuild();
}

void BlockedFiles::ForgetWitnesses() {
  for (auto& [id, blocked] : blocked_) {
    blocked.fresh = true;
    for (BlockedPath& path : blocked.paths) path.witness = FileWitness();
  }
}

PathRules BlockedFiles::paths() const {
  PathRules rules;
  for (const auto& [id, blocked] : blocked_) {
    for (const BlockedPath& path : blocked.paths) rules.emplace_back(PathKey(path.path), blocked.rule);
  }
  Merge(&rules);
  return rules;
}

void BlockedFiles::Rebuild() {
  found_ = FoundRules();
  for (const auto& [id, blocked] : blocked_) {
    const auto add = [this, &rule = blocked.rule](const Found& found) {
      for (const bh_file_key& file : found.files) found_.files.emplace_back(file, rule);
      for (const bh_print_key& print : found.prints) found_.prints.emplace_back(print, rule);
      for (const auto& [digest, size] : found.contents) found_.digests.push_back({digest, {rule, size}});
    };
    for (const auto& [digest, size] : blocked.ordered) found_.digests.push_back({digest, {blocked.rule, size}});
    add(blocked.copies);
    for (const BlockedPath& path : blocked.paths) add(path.found);
  }
  Merge(&found_.files);
  Merge(&found_.prints);
  Merge(&found_.digests);
}

size_t BlockedFiles::found_size() const {
  return std::max({found_.files.size(), found_.digests.size(), found_.prints.size()});
}

uint8_t BlockedFiles::content_flags(bool can_hash) const {
  uint8_t flags = 0;
  const auto is_any_size = [](const auto& entry) { return entry.second == 0; };
  for (const auto& [id, blocked] : blocked_) {
    flags |= can_hash ? BH_CONTENT_DIGESTS : BH_CONTENT_PRINTS;
    if (blocked.rule.action != BH_ACTION_NOTIFY) flags |= BH_CONTENT_STOPS;
    const Contents& copies = blocked.copies.contents;
    if (std::any_of(blocked.ordered.begin(), blocked.ordered.end(), is_any_size) ||
        std::any_of(copies.begin(), copies.end(), is_any_size)) {
      flags |= BH_CONTENT_ANY_SIZE;
    }
  }
  return flags;
}

std::string BlockedFiles::ProblemOf(const std::string& policy_id) const {
  const auto blocked = blocked_.find(policy_id);
  if (blocked == blocked_.end()) return "";
  std::vector<std::string> shown;
  size_t problems = 0;
  for (const BlockedPath& path : blocked->second.paths) {
    if (path.problem.empty()) continue;
    if (++problems <= kMaxProblemsShown) shown.push_back(path.problem);
  }
  if (problems > kMaxProblemsShown) {
    shown.push_back(absl::StrCat("and so for ", problems - kMaxProblemsShown, " more paths of the list"));
  }
  return absl::StrJoin(shown, "; ");
}

std::string BlockedFiles::ContentOf(const std::string& policy_id) const {
  const auto blocked = blocked_.find(policy_id);
  const bool one_path = blocked != blocked_.end() && blocked->second.paths.size() == 1;
  return one_path ? blocked->second.paths.front().sha256 : std::string();
}

}  // namespace bulkhead::sensor
