// Hit counters of policies.
#include "sensor/kernel/policy_stats.h"

#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "sensor/kernel/blocked_files.h"

namespace bulkhead::sensor {

absl::Status AddPolicyStats(const BpfMap& map, const std::vector<std::string>& policy_ids) {
  for (const std::string& id : policy_ids) {
    bh_policy_stat stat{};
    if (id.size() >= sizeof(stat.id)) {
      return absl::InvalidArgumentError(absl::StrCat("policy id \"", id, "\" is longer than 63 bytes"));
    }
    std::memcpy(stat.id, id.data(), id.size());
    const bh_policy_key key = PolicyKey(id);
    if (!map.Get<bh_policy_stat>(key).ok()) RETURN_IF_ERROR(map.Update(&key, &stat));
  }
  return absl::OkStatus();
}

absl::Status RemoveOtherPolicyStats(const BpfMap& map, const std::vector<std::string>& policy_ids) {
  ASSIGN_OR_RETURN(const std::vector<bh_policy_key> keys, map.Keys<bh_policy_key>());
  std::set<std::string> wanted;
  for (const std::string& id : policy_ids) wanted.insert(KeyText(PolicyKey(id)));
  for (const bh_policy_key& key : keys) {
    if (wanted.count(KeyText(key)) == 0) RETURN_IF_ERROR(map.Delete(&key));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<bh_policy_stat>> ReadPolicyStats(const BpfMap& map) {
  ASSIGN_OR_RETURN(const std::vector<bh_policy_key> keys, map.Keys<bh_policy_key>());
  std::vector<bh_policy_stat> stats;
  for (const bh_policy_key& key : keys) {
    const absl::StatusOr<bh_policy_stat> stat = map.Get<bh_policy_stat>(key);
    if (stat.ok()) stats.push_back(*stat);
  }
  return stats;
}

}  // namespace bulkhead::sensor
