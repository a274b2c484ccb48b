// Where pins live, and how to make and remove them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// `<bpffs>/bulkhead/<key>`: everything of one scope. `key` empty: derived from the scope.
// InvalidArgument: the key has characters that a bpf file system refuses.
absl::StatusOr<std::string> PinDirectory(const std::string& bpffs, const std::string& key, const Scope& scope);

// Mounts a bpf file system at `bpffs` unless one is there.
absl::Status EnsureBpffs(const std::string& bpffs);

// Mounts tracefs where libbpf looks for it, unless it is there; tracepoints and kprobes need it. Without it the probes
// say so.
void EnsureTracefs();

// Holds a scope for this process: only one sensor may write to its maps. FailedPrecondition: another one does.
absl::StatusOr<UniqueFd> LockDirectory(const std::string& directory);

// Removes a directory of pins with everything in it; what is pinned there and not held otherwise is lifted. OK when it
// is not there.
absl::Status RemovePins(const std::string& directory);

}  // namespace bulkhead::sensor
