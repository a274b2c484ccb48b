// The containments and isolations that have a scope.
#include "sensor/kernel/scoped_walls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/decide_net.h"
#include "common/status_macros.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/scope_resolver.h"

namespace bulkhead::sensor {
namespace {

bool IsScopedWall(const Policy& policy) {
  return policy.is_network() && policy.scope.has_value();
}

bool StillThere(const Scope& cgroup) {
  const absl::StatusOr<uint64_t> id = CgroupId(cgroup.path);
  return id.ok() && *id == cgroup.id;
}

bool SameCgroup(const std::optional<Scope>& a, const std::optional<Scope>& b) {
  return a.has_value() == b.has_value() && (!a.has_value() || a->id == b->id);
}

// Looks for the wall's scope, unless it is where it was.
void Look(ScopeResolver* resolver, ScopedWalls::Wall* wall) {
  if (wall->cgroup.has_value() && StillThere(*wall->cgroup)) {
    wall->present = true;
    wall->problem.clear();
    return;
  }
  wall->present = false;
  const absl::StatusOr<std::optional<Scope>> found = resolver->Resolve(*wall->policy.scope);
  if (!found.ok()) {
    wall->problem = absl::StrCat("not enforced: ", found.status().message());
  } else if (!found->has_value()) {
    wall->problem = absl::StrCat("there is no ", DescribeScope(*wall->policy.scope),
                                 " now; the wall goes up within about a second when it appears");
  } else {
    wall->cgroup = *found;
    wall->present = true;
    wall->problem.clear();
  }
}

}  // namespace

absl::Status ScopedWalls::Check(const Policy& policy, const DesiredState& in_force) const {
  const bool known = std::any_of(in_force.policies.begin(), in_force.policies.end(), [&policy](const Policy& old) {
    return old.is_network() && old.scope == policy.scope && old.refused.empty();
  });
  if (!IsScopedWall(policy) || known) return absl::OkStatus();
  return ScopeResolver(own_).Resolve(*policy.scope).status();
}

void ScopedWalls::Reset(const DesiredState& state, const std::function<uint64_t(const Policy&)>& in_kernel) {
  std::vector<Wall> before = std::exchange(walls_, {});
  ScopeResolver resolver(own_);
  for (const Policy& policy : state.policies) {
    if (!IsScopedWall(policy)) continue;
    Wall wall{policy};
    const auto same = std::find_if(before.begin(), before.end(),
                                   [&policy](const Wall& old) { return old.policy.scope == policy.scope; });
    if (same != before.end()) {
      wall.cgroup = same->cgroup;
    } else if (const uint64_t id = in_kernel(policy); id != 0) {
      wall.cgroup = resolver.FindById(id);
    }
    Look(&resolver, &wall);
    walls_.push_back(std::move(wall));
  }
}

ScopedWalls::Changes ScopedWalls::Refresh() {
  Changes changes;
  ScopeResolver resolver(own_);
  for (Wall& wall : walls_) {
    const Wall before = wall;
    Look(&resolver, &wall);
    const bool other = !SameCgroup(before.cgroup, wall.cgroup);
    changes.for_kernel = changes.for_kernel || other;
    if (!other && before.present == wall.present) continue;
    changes.moves.push_back(wall.present ? absl::StrCat(wall.policy.name, ": walled at ", wall.cgroup->relative)
                                         : absl::StrCat(wall.policy.name, ": ", wall.problem));
  }
  return changes;
}

std::vector<bh_scoped_wall> ScopedWalls::Compile(const std::function<uint64_t(const Policy&)>& expiry) const {
  std::vector<bh_scoped_wall> entries;
  for (const Wall& wall : walls_) {
    if (!wall.cgroup.has_value()) continue;
    const Policy& policy = wall.policy;
    bh_scoped_wall& entry = entries.emplace_back();
    entry.cgroup = wall.cgroup->id;
    entry.level = wall.cgroup->level;
    entry.wall = policy.policy_template == PolicyTemplate::kNetworkIsolation ? BH_ISOLATE : BH_CONTAIN;
    entry.mode = policy.action == PolicyAction::kNotify ? BH_WALL_SHADOW : BH_WALL_ENFORCE;
    entry.action = policy.action == PolicyAction::kSigkill ? BH_ACTION_SIGKILL : BH_ACTION_DENY;
    entry.expires = expiry(policy);
    entry.policy = PolicyKey(policy.id);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.level < b.level; });
  return entries;
}

const ScopedWalls::Wall* ScopedWalls::Find(const std::string& policy_id) const {
  const auto found =
      std::find_if(walls_.begin(), walls_.end(), [&](const Wall& wall) { return wall.policy.id == policy_id; });
  return found == walls_.end() ? nullptr : &*found;
}

}  // namespace bulkhead::sensor
