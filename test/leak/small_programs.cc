// Loads small programs, and attaches them as tc filters.
#include "test/leak/small_programs.h"

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <net/if.h>

#include <cerrno>

#include "common/errno_status.h"
#include "test/leak/probe.h"

namespace bulkhead::leak {

bpf_insn SetRegister(uint8_t number, int32_t value) {
  bpf_insn set{};
  set.code = BPF_ALU64 | BPF_MOV | BPF_K;
  set.dst_reg = number & 0xf;
  set.imm = value;
  return set;
}

bpf_insn CopyRegister(uint8_t to, uint8_t from) {
  bpf_insn copy{};
  copy.code = BPF_ALU64 | BPF_MOV | BPF_X;
  copy.dst_reg = to & 0xf;
  copy.src_reg = from & 0xf;
  return copy;
}

bpf_insn Call(int32_t helper) {
  return {.code = BPF_JMP | BPF_CALL, .imm = helper};
}

absl::StatusOr<UniqueFd> LoadProgram(bpf_prog_type type, const std::vector<bpf_insn>& instructions) {
  UniqueFd fd(bpf_prog_load(type, "lk_small", "GPL", instructions.data(), instructions.size(), nullptr));
  if (!fd.valid()) return ErrnoToStatus(errno, "load a BPF program");
  return fd;
}

AttachedFilter::AttachedFilter(bpf_tc_attach_point where, uint32_t priority) : priority_(priority) {
  hook_.sz = sizeof(hook_);
  hook_.ifindex = static_cast<int>(if_nametoindex(kInterface));
  hook_.attach_point = where;
  if (where == BPF_TC_CUSTOM) hook_.parent = TC_H_MAKE(1U << 16, 0);
}

AttachedFilter::~AttachedFilter() {
  bpf_tc_opts options = Options();
  bpf_tc_detach(&hook_, &options);
}

absl::Status AttachedFilter::Attach(int program) {
  if (hook_.attach_point != BPF_TC_CUSTOM) {
    const int made = bpf_tc_hook_create(&hook_);  // there is one where the wall has its filter
    if (made != 0 && made != -EEXIST) return ErrnoToStatus(-made, "make the clsact queueing discipline");
  }
  bpf_tc_opts options = Options();
  options.prog_fd = program;
  const int error = bpf_tc_attach(&hook_, &options);
  return error == 0 ? absl::OkStatus() : ErrnoToStatus(-error, "attach a tc filter");
}

bpf_tc_opts AttachedFilter::Options() const {
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.handle = 1;
  options.priority = priority_;
  return options;
}

}  // namespace bulkhead::leak
