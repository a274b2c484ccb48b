// Programs on the kernel's security hooks: as BPF LSM where that runs, else as fmod_ret on the security_* functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"

struct bpf_object;
struct bpf_program;

namespace bulkhead::sensor {

enum class HookKind { kLsm, kFmodRet };

// "lsm" or "fmod_ret".
const char* HookKindName(HookKind kind);

// The kinds to try, most promising first. A kernel booted without `bpf` in lsm= accepts LSM programs and never calls
// them, so the first that *works* counts, not the first that loads.
std::vector<HookKind> HookKindsToTry();

// Prepares every program of section "lsm/HOOK" in an opened, not yet loaded object for `kind`. A hook that this kernel
// does not have is left out when `optional` names its program; NotFound when it does not.
absl::Status TargetSecurityHooks(bpf_object* object, HookKind kind, const std::vector<std::string>& optional);

// Attaches every loaded program of the object and pins each link as `<directory>/<prefix><program>`, in place of the
// pin of an earlier sensor: the old program goes only after the new one runs, so there is no gap. On error nothing of
// this call is left.
absl::StatusOr<std::vector<AttachedProgram>> AttachAndPin(bpf_object* object, const std::string& directory,
                                                          const std::string& prefix);

// Those of `programs`, by name, whose pin somebody removed or exchanged: the kernel then no longer calls them.
std::vector<std::string> FindDetached(const std::vector<AttachedProgram>& programs, const std::string& directory,
                                      const std::string& prefix);

// Makes each map of the object whose name begins with `prefix`, except the global variables, the one that is pinned as
// `<directory>/<map name>`; one that is not pinned yet will be, when the object is loaded. A later call wins.
absl::Status ShareMapsByPin(bpf_object* object, const std::string& directory, absl::string_view prefix = "");

// The detached programs' pins: removes every `<directory>/<prefix>*`. OK when there are none.
absl::Status RemovePins(const std::string& directory, const std::string& prefix);

}  // namespace bulkhead::sensor
