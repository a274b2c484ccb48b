// The programs of one scope: loaded, attached, pinned; adopted when they were there.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/cgroup.h"

struct bpf_object;
struct bpf_program;

namespace bulkhead::sensor {

// What the kernel says of a loaded program.
struct ProgramFacts {
  uint32_t id = 0;
  std::array<uint8_t, 8> tag{};  // the kernel's hash over the instructions: equal programs have equal ones
};
absl::StatusOr<ProgramFacts> FactsOf(int program_fd);

// Closes a libbpf object.
struct ObjectCloser {
  void operator()(bpf_object* object) const;
};
using ObjectPtr = std::unique_ptr<bpf_object, ObjectCloser>;

// Opens one of our objects from the bytes that its skeleton carries. `wanted` are the programs to load; the rest stays
// out.
absl::StatusOr<ObjectPtr> OpenObject(const void* bytes, size_t size, const std::set<std::string>& wanted);

// Loads the object; its maps are shared by pins below `directory`, made when they are not there. Empty: nothing is
// pinned.
absl::Status LoadObject(bpf_object* object, const std::string& directory);

// Not thread safe.
class Programs {
 public:
  // Loads `wanted` (program names of isolation, containment, exec and digest) with maps and links pinned below
  // `directory`. A pinned link stays attached all the time: its program is replaced in place where the kernel can do so
  // and the program differs, else a second link is attached before the first is removed.
  static absl::StatusOr<Programs> Load(const std::string& directory, const Scope& scope,
                                       const std::set<std::string>& wanted);

  // Ids and targets of what is attached now, asked from the kernel.
  std::vector<AttachedProgram> Describe() const;

  // Attaches and pins again what somebody detached, replaced or unpinned; says what it repaired.
  absl::StatusOr<std::vector<std::string>> Repair();

  // The program named `name`, loaded; null when it was not wanted.
  bpf_program* Find(const std::string& name) const;

 private:
  struct Attachment {
    std::string name;
    bpf_program* program = nullptr;
    bool on_cgroup = false;
    std::string pin;
    UniqueFd link;
    uint32_t program_id = 0;
  };

  absl::Status Attach(Attachment* attachment);
  absl::Status AttachAnew(Attachment* attachment);
  absl::StatusOr<UniqueFd> MakeLink(const Attachment& attachment) const;
  absl::Status Adopt(Attachment* attachment, UniqueFd link);
  absl::StatusOr<std::string> RepairOne(Attachment* attachment);
  absl::Status RepairMapPins(std::vector<std::string>* repaired) const;

  std::string directory_;
  Scope scope_;
  UniqueFd scope_fd_;
  std::vector<ObjectPtr> objects_;
  std::vector<Attachment> attachments_;
};

}  // namespace bulkhead::sensor
