// BPF programs of a few instructions, and where probes put them.
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::leak {

inline constexpr bpf_insn kExit = {.code = BPF_JMP | BPF_EXIT};

bpf_insn SetRegister(uint8_t number, int32_t value);
bpf_insn CopyRegister(uint8_t to, uint8_t from);
bpf_insn Call(int32_t helper);

absl::StatusOr<UniqueFd> LoadProgram(bpf_prog_type type, const std::vector<bpf_insn>& instructions);

// A tc filter on kInterface, until this object ends. At BPF_TC_CUSTOM it hangs on the queueing discipline 1:.
class AttachedFilter {
 public:
  AttachedFilter(bpf_tc_attach_point where, uint32_t priority);
  ~AttachedFilter();
  AttachedFilter(const AttachedFilter&) = delete;
  AttachedFilter& operator=(const AttachedFilter&) = delete;

  absl::Status Attach(int program);

 private:
  bpf_tc_opts Options() const;

  const uint32_t priority_;
  bpf_tc_hook hook_{};
};

}  // namespace bulkhead::leak
