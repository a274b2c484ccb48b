// Which cgroup a policy's scope is now.
#include "sensor/kernel/scope_resolver.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kContainerIdDigits = 64;
constexpr size_t kMostNamed = 4;  // candidates that a message names

std::string NameOf(const std::string& cgroup) {
  return cgroup.substr(cgroup.rfind('/') + 1);
}

bool IsBelow(const std::string& cgroup, const std::string& ancestor) {
  return absl::StartsWith(cgroup, ancestor + "/");
}

bool IsOfSystemManager(const std::string& cgroup) {
  std::vector<absl::string_view> parents = absl::StrSplit(absl::string_view(cgroup).substr(1), '/');
  parents.pop_back();
  return std::all_of(parents.begin(), parents.end(), [](absl::string_view p) { return absl::EndsWith(p, ".slice"); });
}

absl::Status Ambiguous(const PolicyScope& scope, std::vector<std::string> found) {
  const size_t count = found.size();
  found.resize(std::min(count, kMostNamed));
  return absl::FailedPreconditionError(
      absl::StrCat(DescribeScope(scope), " is ambiguous: ", count, " cgroups of this host match (",
                   absl::StrJoin(found, ", "), count > kMostNamed ? ", …" : "", "); name one of them by its path"));
}

absl::Status Outside(const PolicyScope& scope, const std::string& found, const Scope& own) {
  return absl::FailedPreconditionError(absl::StrCat(DescribeScope(scope), ": ", found, " is outside of ", own.relative,
                                                    ", which this sensor was started for with --scope"));
}

}  // namespace

ScopeResolver::ScopeResolver(Scope own)
    : own_(std::move(own)),
      root_(own_.is_host() ? own_.path : own_.path.substr(0, own_.path.size() - own_.relative.size())) {}

const std::vector<std::string>& ScopeResolver::Tree() {
  if (tree_.has_value()) return *tree_;
  tree_.emplace();
  std::error_code error;
  // A cgroup that goes while its children are listed ends the listing of these, not of the tree.
  std::vector<std::string> open = {""};
  while (!open.empty()) {
    const std::string parent = std::move(open.back());
    open.pop_back();
    for (std::filesystem::directory_iterator it(absl::StrCat(root_, parent), error), end; it != end && !error;
         it.increment(error)) {
      if (!it->is_directory(error) || it->is_symlink(error)) continue;
      open.push_back(absl::StrCat(parent, "/", it->path().filename().string()));
      tree_->push_back(open.back());
    }
  }
  std::sort(tree_->begin(), tree_->end());
  return *tree_;
}

std::vector<std::string> ScopeResolver::UnitsNamed(const std::string& name) {
  std::vector<std::string> found;
  const std::string escaped = absl::StrCat("_", name);  // as systemd writes what could be taken for a control file
  for (const std::string& cgroup : Tree()) {
    const std::string last = NameOf(cgroup);
    if (last == name || last == escaped) found.push_back(cgroup);
  }
  std::vector<std::string> of_system;
  std::copy_if(found.begin(), found.end(), std::back_inserter(of_system), IsOfSystemManager);
  return of_system.empty() ? found : of_system;
}

std::vector<std::string> ScopeResolver::ContainersWith(const std::string& prefix) {
  std::vector<std::string> found;
  for (const std::string& cgroup : Tree()) {
    if (!absl::StartsWith(ContainerIdOf(NameOf(cgroup)), prefix)) continue;
    const bool inner =
        std::any_of(found.begin(), found.end(), [&](const auto& outer) { return IsBelow(cgroup, outer); });
    if (!inner) found.push_back(cgroup);
  }
  return found;
}

absl::StatusOr<std::optional<Scope>> ScopeResolver::Describe(const std::string& relative) const {
  Scope found{absl::StrCat(root_, relative), relative, 0,
              static_cast<uint32_t>(std::count(relative.begin(), relative.end(), '/'))};
  std::error_code error;
  if (!std::filesystem::is_directory(found.path, error)) return std::nullopt;
  const absl::StatusOr<uint64_t> id = CgroupId(found.path);
  if (absl::IsNotFound(id.status())) return std::nullopt;  // it went just now
  RETURN_IF_ERROR(id.status());
  found.id = *id;
  return found;
}

absl::StatusOr<std::optional<Scope>> ScopeResolver::Resolve(const PolicyScope& scope) {
  if (const absl::Status status = CheckPolicyScope(scope); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(DescribeScope(scope), " ", status.message()));
  }
  std::vector<std::string> found = {scope.name};
  if (scope.kind == PolicyScope::Kind::kSystemdUnit) found = UnitsNamed(scope.name);
  if (scope.kind == PolicyScope::Kind::kContainer) found = ContainersWith(scope.name);
  if (found.empty()) return std::nullopt;
  std::vector<std::string> inside;
  std::copy_if(found.begin(), found.end(), std::back_inserter(inside),
               [this](const std::string& cgroup) { return IsInside(own_, cgroup); });
  if (inside.empty()) return Outside(scope, found.front(), own_);
  if (inside.size() > 1) return Ambiguous(scope, std::move(inside));
  return Describe(inside.front());
}

std::string ContainerIdOf(absl::string_view cgroup_name) {
  absl::ConsumeSuffix(&cgroup_name, ".scope");
  if (absl::StrContains(cgroup_name, "conmon")) return "";
  const size_t dash = cgroup_name.rfind('-');
  if (dash != absl::string_view::npos) cgroup_name.remove_prefix(dash + 1);
  const auto is_hex = [](unsigned char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
  const bool is_id =
      cgroup_name.size() == kContainerIdDigits && std::all_of(cgroup_name.begin(), cgroup_name.end(), is_hex);
  return is_id ? std::string(cgroup_name) : "";
}

}  // namespace bulkhead::sensor
