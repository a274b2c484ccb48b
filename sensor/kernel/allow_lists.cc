// Allow-lists: scopes to cgroups and paths to files.
#include "sensor/kernel/allow_lists.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/decide_exec.h"
#include "bulkhead/decide_lease.h"
#include "common/status_macros.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/scope_resolver.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMaxProblemsShown = 3;

template <typename... Parts>
bh_allow_key AllowKey(uint32_t list, uint32_t kind, const Parts&... parts) {
  bh_allow_key key{};
  static_assert((sizeof(parts) + ...) <= sizeof(key.id));
  key.list = list;
  key.kind = kind;
  size_t at = 0;
  ((std::memcpy(key.id + at, &parts, sizeof(parts)), at += sizeof(parts)), ...);
  return key;
}

template <typename Rules>
bool SameRules(const Rules& a, const Rules& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& one, const auto& other) {
           return std::memcmp(&one.first, &other.first, sizeof(one.first)) == 0 &&
                  std::memcmp(&one.second, &other.second, sizeof(one.second)) == 0;
         });
}

// Two entries may lead to one file, two lists to one path.
template <typename Rules>
void SortUnique(Rules* rules) {
  const auto compare = [](const auto& a, const auto& b) { return std::memcmp(&a.first, &b.first, sizeof(a.first)); };
  std::sort(rules->begin(), rules->end(), [&](const auto& a, const auto& b) { return compare(a, b) < 0; });
  rules->erase(
      std::unique(rules->begin(), rules->end(), [&](const auto& a, const auto& b) { return compare(a, b) == 0; }),
      rules->end());
}

bool HoldsSensor(const Scope& scope) {
  const absl::StatusOr<std::string> own = CgroupOfProcess(getpid());
  return own.ok() && IsInside(scope, *own);
}

// Where a scope that was never seen will be; empty: nobody knows.
std::string PathToBe(const PolicyScope& scope) {
  if (scope.kind == PolicyScope::Kind::kCgroup) return scope.name;
  const bool plain = scope.kind == PolicyScope::Kind::kSystemdUnit && absl::EndsWith(scope.name, ".service") &&
                     !absl::StrContains(scope.name, '@');
  return plain ? absl::StrCat("/system.slice/", scope.name) : std::string();
}

// Nothing: there is no such cgroup now.
absl::StatusOr<std::optional<Scope>> ResolveList(const PolicyScope& scope, ScopeResolver* resolver) {
  ASSIGN_OR_RETURN(std::optional<Scope> found, resolver->Resolve(scope));
  if (found.has_value() && HoldsSensor(*found)) {
    return absl::FailedPreconditionError(
        absl::StrCat(DescribeScope(scope), " holds the sensor (it is cgroup ", found->relative,
                     "): an allow-list there would stop the sensor's own tools; choose a scope beside it"));
  }
  return found;
}

}  // namespace

std::set<std::string> StartedLists(const ListRules& before, const ListRules& after) {
  std::set<std::pair<uint64_t, std::string>> known;
  for (const auto& [cgroup, list] : before) known.emplace(cgroup, KeyText(list.rule.policy));
  std::set<std::string> started;
  for (const auto& [cgroup, list] : after) {
    const std::string policy = KeyText(list.rule.policy);
    if (known.count({cgroup, policy}) == 0) started.insert(policy);
  }
  return started;
}

absl::Status CheckListScope(const Policy& policy, const Scope& own) {
  ScopeResolver resolver(own);
  return ResolveList(policy.scope.value_or(PolicyScope()), &resolver).status();
}

void AllowLists::Reset(const DesiredState& state, const std::function<uint64_t(const Policy&)>& expires) {
  std::map<std::string, List> next;
  uint32_t number = 0;
  for (const Policy& policy : state.policies) {
    if (policy.policy_template != PolicyTemplate::kAllowList || !policy.scope.has_value()) continue;
    List& list = next[policy.id];
    const auto before = by_policy_.find(policy.id);
    if (before != by_policy_.end()) list = before->second;
    if (list.path.empty()) list.path = PathToBe(*policy.scope);
    list.number = ++number;
    list.scope = *policy.scope;
    list.status.rule = {PolicyKey(policy.id), ActionNumber(policy.action), 0, expires(policy)};
    list.status.learn = policy.learn;
    std::vector<Entry> entries;
    for (const AllowedBinary& binary : policy.allowed) {
      const auto known = std::find_if(list.entries.begin(), list.entries.end(),
                                      [&binary](const Entry& entry) { return entry.binary == binary; });
      entries.push_back(known == list.entries.end() ? Entry{binary, {}, {}, {}} : *known);
    }
    list.entries = std::move(entries);
  }
  by_policy_ = std::move(next);
}

// Whoever may write at a listed path decides what runs; a digest beside it takes that away.
void AllowLists::RefreshEntry(const FileIdentifier& identifier, const Abilities& abilities, Entry* entry) {
  const AllowedBinary& binary = entry->binary;
  if (binary.path.empty()) {
    if (!abilities.hash) entry->problem = "a content without a path runs nothing: this kernel cannot hash what it runs";
    return;
  }
  const absl::StatusOr<FoundFile> file = FoundFile::Open(binary.path);
  if (!file.ok()) {
    // A list may come before its files.
    entry->problem = absl::IsNotFound(file.status()) ? std::string() : std::string(file.status().message());
    entry->file.reset();
    entry->witness = FileWitness();
    return;
  }
  if (file->witness() == entry->witness) return;
  entry->witness = file->witness();
  entry->file.reset();
  entry->problem.clear();
  if (!binary.sha256.empty() && !abilities.hash) {
    const absl::StatusOr<FileContent> content = file->Read();
    if (!content.ok() || content->sha256 != binary.sha256) {
      entry->problem =
          absl::StrCat(binary.path, content.ok() ? " has another content than the list says" : " could not be read");
      return;
    }
  }
  const absl::StatusOr<bh_file_key> key = identifier.Identify(*file);
  if (key.ok()) {
    entry->file = *key;
  } else {
    entry->problem = absl::StrCat(binary.path, " is not known to the kernel: ", key.status().message());
    entry->witness = FileWitness();
  }
}

void AllowLists::AddEntry(const Entry& entry, uint32_t list, const Abilities& abilities, AllowRules* allowed) {
  const auto add = [list, allowed](uint32_t kind, const auto&... parts) {
    allowed->emplace_back(AllowKey(list, kind, parts...), 1);
  };
  const bool by_content = !entry.binary.sha256.empty() && abilities.hash;
  const bh_digest_key digest = by_content ? DigestKey(entry.binary.sha256) : bh_digest_key{};
  if (entry.binary.path.empty()) {
    if (by_content) add(BH_ALLOW_CONTENT, digest);
    return;
  }
  if (!entry.file.has_value()) return;
  if (by_content) {
    add(BH_ALLOW_BOTH, *entry.file, digest);
  } else {
    add(BH_ALLOW_FILE, *entry.file);
  }
  if (!abilities.refuse) add(BH_ALLOW_PATH, PathKey(entry.binary.path));
}

bool AllowLists::LetsRun(const List& list, const CodeFile& code) const {
  const auto has = [this](const bh_allow_key& key) {
    const auto at = std::lower_bound(allowed_.begin(), allowed_.end(), key, [](const auto& entry, const auto& wanted) {
      return std::memcmp(&entry.first, &wanted, sizeof(wanted)) < 0;
    });
    return at != allowed_.end() && std::memcmp(&at->first, &key, sizeof(key)) == 0;
  };
  bh_allow_facts facts{};
  facts.learn = list.status.learn;
  facts.over = bh_lease_over(list.status.rule.expires, BootNanoseconds());
  facts.file = has(AllowKey(list.number, BH_ALLOW_FILE, code.key));
  facts.digest = code.sha256.has_value();
  if (code.sha256.has_value()) {
    const bh_digest_key digest = DigestKey(*code.sha256);
    facts.content = has(AllowKey(list.number, BH_ALLOW_CONTENT, digest));
    facts.both = has(AllowKey(list.number, BH_ALLOW_BOTH, code.key, digest));
  }
  return bh_decide_allow(&facts) != BH_ALLOW_DENY;
}

std::map<std::string, std::set<uint32_t>> AllowLists::FindUnlisted(UnlistedFiles* files) const {
  std::map<std::string, std::set<uint32_t>> found;
  for (const auto& [id, list] : by_policy_) {
    if (!list.cgroup.has_value() || list.status.learn) continue;
    const auto allows = [this, &list = list](const CodeFile& code) { return LetsRun(list, code); };
    found[id] = files->Find(*list.cgroup, list.contents, allows);
  }
  return found;
}

void AllowLists::RefreshScopes(const Scope& own) {
  ScopeResolver resolver(own);
  std::map<uint64_t, std::string> taken;  // by cgroup: the policy
  for (auto& [id, list] : by_policy_) {
    absl::StatusOr<std::optional<Scope>> found = ResolveList(list.scope, &resolver);
    list.status.problem = found.ok() ? std::string() : std::string(found.status().message());
    list.cgroup = found.ok() ? *found : std::nullopt;
    if (list.cgroup.has_value() && !taken.emplace(list.cgroup->id, id).second) {
      list.status.problem = absl::StrCat(DescribeScope(list.scope), " is the cgroup that policy ",
                                         taken[list.cgroup->id], " has a list for: this list is not in force");
      list.cgroup.reset();
    }
    if (list.cgroup.has_value()) list.path = list.cgroup->relative;
    list.status.cgroup = list.cgroup.has_value() ? list.cgroup->relative : std::string();
  }
}

bool AllowLists::Refresh(const FileIdentifier& identifier, const Scope& own, const Abilities& abilities) {
  RefreshScopes(own);
  ListRules lists;
  AwaitedRules awaited;
  AllowRules allowed;
  for (auto& [id, list] : by_policy_) {
    const bool in_force = list.status.problem.empty();
    list.contents = false;
    std::vector<std::string> problems;
    for (Entry& entry : list.entries) {
      RefreshEntry(identifier, abilities, &entry);
      AddEntry(entry, list.number, abilities, &allowed);
      list.contents = list.contents || (abilities.hash && !entry.binary.sha256.empty());
      const bool told = std::find(problems.begin(), problems.end(), entry.problem) != problems.end();
      if (!entry.problem.empty() && !told && problems.size() < kMaxProblemsShown) problems.push_back(entry.problem);
    }
    if (!list.status.problem.empty()) problems.insert(problems.begin(), list.status.problem);
    list.status.problem = absl::StrJoin(problems, "; ");
    const bh_list value{list.status.rule, list.number, list.status.learn, list.contents, {}};
    if (list.cgroup.has_value()) lists.emplace_back(list.cgroup->id, value);
    if (in_force && !list.path.empty()) awaited.emplace_back(PathKey(list.path), value);
  }
  SortUnique(&allowed);
  SortUnique(&awaited);
  const bool changed = !SameRules(lists, lists_) || !SameRules(awaited, awaited_) || !SameRules(allowed, allowed_);
  awaited_ = std::move(awaited);
  lists_ = std::move(lists);
  allowed_ = std::move(allowed);
  return changed;
}

void AllowLists::ForgetWitnesses() {
  for (auto& [id, list] : by_policy_) {
    for (Entry& entry : list.entries) entry.witness = FileWitness();
  }
}

const AllowLists::Status* AllowLists::Find(const std::string& policy_id) const {
  const auto list = by_policy_.find(policy_id);
  return list == by_policy_.end() ? nullptr : &list->second.status;
}

std::map<std::string, Scope> AllowLists::Learning() const {
  std::map<std::string, Scope> learning;
  for (const auto& [id, list] : by_policy_) {
    if (list.status.learn) learning[id] = list.cgroup.value_or(Scope());
  }
  return learning;
}

}  // namespace bulkhead::sensor
