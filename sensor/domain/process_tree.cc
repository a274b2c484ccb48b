// Who descends from whom.
#include "sensor/domain/process_tree.h"

#include <map>

namespace bulkhead::sensor {

std::vector<ProcessKey> DescendantsOf(const std::vector<ProcessEntry>& table, const std::set<ProcessKey>& roots) {
  std::multimap<uint32_t, ProcessKey> children;
  for (const ProcessEntry& entry : table) children.emplace(entry.parent, entry.key);
  std::set<ProcessKey> known = roots;
  std::vector<ProcessKey> open(roots.begin(), roots.end());
  std::vector<ProcessKey> found;
  while (!open.empty()) {
    const ProcessKey parent = open.back();
    open.pop_back();
    const auto [first, last] = children.equal_range(parent.pid);
    for (auto child = first; child != last; ++child) {
      if (child->second.start_time_ticks < parent.start_time_ticks || !known.insert(child->second).second) continue;
      open.push_back(child->second);
      found.push_back(child->second);
    }
  }
  return found;
}

}  // namespace bulkhead::sensor
