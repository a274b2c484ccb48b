// Moves processes between cgroups of the version 2 hierarchy.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace bulkhead::leak {

// Where the hierarchy is mounted; empty when it is not.
std::string CgroupRoot();

// The cgroup of the calling process, as a path below CgroupRoot().
std::string OwnCgroup();

// Moves the calling process.
absl::Status EnterCgroup(const std::string& path);

// A cgroup outside every scope but the whole host; made when it is not there.
std::string ElsewhereCgroup();
void RemoveElsewhereCgroup();

}  // namespace bulkhead::leak
