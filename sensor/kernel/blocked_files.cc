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
#include "absl/strings/str_replace.h"
#include "bulkhead/decide_exec.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "sensor/kernel/bpf_iter.h"

namespace bulkhead::sensor {
namespace {

// A path whose file is replaced over and over forgets the oldest ones.
constexpr size_t kMaxPerPolicy = 64;
constexpr size_t kMaxRead = 4096;

template <typename T>
bool Same(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

bh_digest_key DigestKey(const std::string& sha256) {
  bh_digest_key key{};
  std::memcpy(key.bytes, sha256.data(), std::min(sha256.size(), sizeof(key.bytes)));
  return key;
}

// True when it was not there.
template <typename T>
bool AddNew(const T& key, std::deque<T>* known) {
  if (std::any_of(known->begin(), known->end(), [&key](const T& other) { return Same(other, key); })) return false;
  known->push_back(key);
  if (known->size() > kMaxPerPolicy) known->pop_front();
  return true;
}

// A content that is known without its size, or with it, is one content. The first is the one that was ordered and
// stays.
bool AddNew(const std::pair<bh_digest_key, uint64_t>& content, std::deque<std::pair<bh_digest_key, uint64_t>>* known) {
  for (auto& [digest, size] : *known) {
    if (!Same(digest, content.first)) continue;
    if (size != 0 || content.second == 0) return false;
    size = content.second;
    return true;
  }
  known->push_back(content);
  if (known->size() > kMaxPerPolicy) known->erase(known->begin() + 1);
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

template <typename Key, typename Value>
void Merge(const Key& key, const Value& rule, std::vector<std::pair<Key, Value>>* rules) {
  const auto known =
      std::find_if(rules->begin(), rules->end(), [&key](const auto& entry) { return Same(entry.first, key); });
  if (known == rules->end()) {
    rules->emplace_back(key, rule);
  } else if (IsStronger(RuleOf(rule), RuleOf(known->second))) {
    known->second = rule;
  }
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

void BlockedFiles::Reset(const DesiredState& state, const FoundRules& adopted,
                         const std::function<uint64_t(const Policy&)>& expires) {
  const FoundRules known = found();
  std::map<std::string, Blocked> next;
  for (const Policy& policy : state.policies) {
    if (policy.policy_template != PolicyTemplate::kBlockBinary) continue;
    Blocked& blocked = next[policy.id];
    const auto before = blocked_.find(policy.id);
    if (before != blocked_.end() && before->second.path == policy.binary_path) blocked = before->second;
    blocked.path = policy.binary_path;
    blocked.forced = policy.forced;
    blocked.ordered_content = !policy.binary_sha256.empty();
    blocked.rule = {PolicyKey(policy.id), ActionNumber(policy.action), 0, expires(policy)};
    if (blocked.ordered_content) AddNew({DigestKey(policy.binary_sha256), 0}, &blocked.contents);
    for (const FoundRules* rules : {&known, &adopted}) {
      for (const auto& [file, rule] : rules->files) {
        if (Same(rule.policy, blocked.rule.policy)) AddNew(file, &blocked.files);
      }
      for (const auto& [digest, rule] : rules->digests) {
        if (Same(rule.rule.policy, blocked.rule.policy)) AddNew({digest, rule.size}, &blocked.contents);
      }
      for (const auto& [print, rule] : rules->prints) {
        if (Same(rule.policy, blocked.rule.policy)) AddNew(print, &blocked.prints);
      }
    }
  }
  blocked_ = std::move(next);
}

bool BlockedFiles::AddContent(const FileContent& content, Blocked* blocked) {
  if (content.size == 0) return false;  // an empty file runs nowhere, and every empty file is its copy
  const bool digest = AddNew({DigestKey(content.sha256), content.size}, &blocked->contents);
  const bool print = AddNew(content.print, &blocked->prints);
  return digest || print;
}

bool BlockedFiles::RefreshOne(const FileIdentifier& identifier, std::optional<NeededFiles>* needed, Blocked* blocked) {
  const absl::StatusOr<FoundFile> file = FoundFile::Open(blocked->path);
  if (!file.ok()) {
    // A block may come before its file.
    blocked->problem = absl::IsNotFound(file.status()) ? std::string() : std::string(file.status().message());
    return false;
  }
  if (file->witness() == blocked->witness) return false;
  const absl::StatusOr<FileContent> content = file->Read();
  if (!needed->has_value()) *needed = NeededFiles::OfThisHost();
  const NeededFile* what = (*needed)->Find(*file, content.value_or(FileContent()));
  if (what != nullptr && (what->own || !blocked->forced)) {
    blocked->problem = absl::StrCat("what is behind ", blocked->path, " now is ", what->what, " (", what->path,
                                    "): blocked under this path only");
    return false;
  }
  const absl::StatusOr<bh_file_key> key = identifier.Identify(*file);
  if (!key.ok()) {
    blocked->problem = absl::StrCat(blocked->path, " is blocked under this path only: ", key.status().message());
    return false;
  }
  bool added = AddNew(*key, &blocked->files);
  blocked->witness = file->witness();
  blocked->sha256 = content.ok() ? content->sha256 : std::string();
  blocked->problem = content.ok()
                         ? std::string()
                         : absl::StrCat("copies of ", blocked->path, " are not stopped: ", content.status().message());
  if (content.ok()) added = AddContent(*content, blocked) || added;
  return added;
}

bool BlockedFiles::Refresh(const FileIdentifier& identifier) {
  std::optional<NeededFiles> needed;
  bool added = false;
  for (auto& [id, blocked] : blocked_) {
    if (blocked.path.empty()) continue;
    added = RefreshOne(identifier, &needed, &blocked) || added;
  }
  return added;
}

absl::StatusOr<FileContent> BlockedFiles::ReadOnce(const FoundFile& file) {
  const std::pair<uint64_t, uint64_t> key(file.witness().device, file.witness().inode);
  const auto known = read_.find(key);
  if (known != read_.end() && known->second.first == file.witness()) return known->second.second;
  ASSIGN_OR_RETURN(const FileContent content, file.Read());
  if (read_.size() >= kMaxRead) read_.clear();
  read_[key] = {file.witness(), content};
  return content;
}

void BlockedFiles::AddRunningCopies(const FileIdentifier& identifier, const Scope& scope) {
  const bool any_size = (content_flags(true) & BH_CONTENT_ANY_SIZE) != 0;
  const DigestRules digests = found().digests;
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const pid_t pid : ProcessesIn(scope)) {
    const absl::StatusOr<FoundFile> file = FoundFile::Open(absl::StrCat("/proc/", pid, "/exe"));
    if (!file.ok() || !seen.insert({file->witness().device, file->witness().inode}).second) continue;
    const bool likely = std::any_of(digests.begin(), digests.end(),
                                    [&file](const auto& entry) { return entry.second.size == file->witness().size; });
    if (!any_size && !likely) continue;
    const absl::StatusOr<FileContent> content = ReadOnce(*file);
    if (!content.ok()) continue;
    for (auto& [id, blocked] : blocked_) {
      const bool copy = std::any_of(blocked.contents.begin(), blocked.contents.end(), [&content](const auto& entry) {
        return Same(entry.first, DigestKey(content->sha256));
      });
      const absl::StatusOr<bh_file_key> key = copy ? identifier.Identify(*file) : absl::NotFoundError("no copy");
      if (key.ok()) AddNew(*key, &blocked.files);
      if (copy) AddContent(*content, &blocked);  // its size, and what a kernel that cannot hash looks for
    }
  }
}

void BlockedFiles::ForgetWitnesses() {
  for (auto& [id, blocked] : blocked_) blocked.witness = FileWitness();
}

PathRules BlockedFiles::paths() const {
  PathRules rules;
  for (const auto& [id, blocked] : blocked_) {
    if (!blocked.path.empty()) Merge(PathKey(blocked.path), blocked.rule, &rules);
  }
  return rules;
}

FoundRules BlockedFiles::found() const {
  FoundRules rules;
  for (const auto& [id, blocked] : blocked_) {
    for (const bh_file_key& file : blocked.files) Merge(file, blocked.rule, &rules.files);
    for (const bh_print_key& print : blocked.prints) Merge(print, blocked.rule, &rules.prints);
    for (const auto& [digest, size] : blocked.contents) Merge(digest, {blocked.rule, size}, &rules.digests);
  }
  return rules;
}

uint8_t BlockedFiles::content_flags(bool can_hash) const {
  uint8_t flags = 0;
  for (const auto& [id, blocked] : blocked_) {
    flags |= can_hash ? BH_CONTENT_DIGESTS : BH_CONTENT_PRINTS;
    if (blocked.rule.action != BH_ACTION_NOTIFY) flags |= BH_CONTENT_STOPS;
    for (const auto& [digest, size] : blocked.contents) {
      if (size == 0) flags |= BH_CONTENT_ANY_SIZE;
    }
  }
  return flags;
}

std::string BlockedFiles::ProblemOf(const std::string& policy_id) const {
  const auto blocked = blocked_.find(policy_id);
  return blocked == blocked_.end() ? std::string() : blocked->second.problem;
}

std::string BlockedFiles::ContentOf(const std::string& policy_id) const {
  const auto blocked = blocked_.find(policy_id);
  return blocked == blocked_.end() ? std::string() : blocked->second.sha256;
}

}  // namespace bulkhead::sensor
