// Where pins live, and how to make and remove them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// Sensors of this layout and older ones pinned right in the scope's directory; see sensor/kernel/predecessor.h.
inline constexpr uint32_t kLastFlatLayout = 2;
inline constexpr char kLayoutPrefix[] = "abi";

// `<bpffs>/bulkhead/<key>`: everything of one scope. `key` empty: derived from the scope.
// InvalidArgument: the key has characters that a bpf file system refuses.
absl::StatusOr<std::string> PinDirectory(const std::string& bpffs, const std::string& key, const Scope& scope);

// Below a scope's directory: what a sensor with the layout of this one pins.
std::string LayoutDirectory(const std::string& scope_directory);

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
