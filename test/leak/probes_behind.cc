// Filters that are asked after the wall: they change what it let by.
#include <linux/pkt_cls.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/shell_probe.h"
#include "test/leak/small_programs.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

constexpr size_t kWord = sizeof(int32_t);

// Writes the token behind every frame: *(stack) = token; bpf_skb_change_tail(); bpf_skb_store_bytes().
absl::StatusOr<UniqueFd> LoadAppender(std::string token) {
  token.resize((token.size() + kWord - 1) / kWord * kWord, ' ');
  const auto bytes = static_cast<int32_t>(token.size());
  std::vector<bpf_insn> code = {CopyRegister(BPF_REG_6, BPF_REG_1)};
  for (int32_t at = 0; at < bytes; at += kWord) {
    bpf_insn store{};
    store.code = BPF_ST | BPF_MEM | BPF_W;
    store.dst_reg = BPF_REG_10;
    store.off = static_cast<int16_t>(at - bytes);
    std::memcpy(&store.imm, token.data() + at, kWord);
    code.push_back(store);
  }
  bpf_insn length{};
  length.code = BPF_LDX | BPF_MEM | BPF_W;
  length.dst_reg = BPF_REG_7;
  length.src_reg = BPF_REG_6;
  length.off = offsetof(__sk_buff, len);
  bpf_insn add{};
  add.code = BPF_ALU64 | BPF_ADD | BPF_K;
  add.dst_reg = BPF_REG_2;
  add.imm = bytes;
  bpf_insn back = add;
  back.dst_reg = BPF_REG_3;
  back.imm = -bytes;
  for (const bpf_insn& one :
       {length, CopyRegister(BPF_REG_1, BPF_REG_6), CopyRegister(BPF_REG_2, BPF_REG_7), add, SetRegister(BPF_REG_3, 0),
        Call(BPF_FUNC_skb_change_tail), CopyRegister(BPF_REG_1, BPF_REG_6), CopyRegister(BPF_REG_2, BPF_REG_7),
        CopyRegister(BPF_REG_3, BPF_REG_10), back, SetRegister(BPF_REG_4, bytes), SetRegister(BPF_REG_5, 0),
        Call(BPF_FUNC_skb_store_bytes), SetRegister(BPF_REG_0, TC_ACT_OK), kExit}) {
    code.push_back(one);
  }
  return LoadProgram(BPF_PROG_TYPE_SCHED_CLS, code);
}

constexpr uint32_t kLaterPriority = 7;  // the wall's own is 1

// The question who has the peer's address passes every wall, and carries what the filter writes behind it.
constexpr char kAskForPeer[] = "ip neigh del $PEER dev $IF; ip neigh replace $PEER dev $IF use; sleep 0.2";

class WritesBehindProbe : public Probe {
 public:
  // `prepare`: makes the queueing discipline that the filter hangs on; empty for the one of the wall's own filter.
  WritesBehindProbe(bpf_tc_attach_point where, std::string prepare)
      : prepare_(std::move(prepare)), filter_(where, kLaterPriority) {}
  ~WritesBehindProbe() override {
    RunWords("set +e; ip neigh replace $PEER lladdr 02:77:00:00:00:02 dev $IF nud permanent", {}).IgnoreError();
    if (!prepare_.empty()) RunWords("tc qdisc del dev $IF root", {}).IgnoreError();
  }

  absl::Status Prepare(const Shot& shot) override {
    RETURN_IF_ERROR(RunWords(prepare_, shot));
    ASSIGN_OR_RETURN(program_, LoadAppender(shot.token));
    return filter_.Attach(program_.get());
  }

  absl::Status Attempt(const Shot& shot) override { return RunWords(kAskForPeer, shot); }

 private:
  const std::string prepare_;
  AttachedFilter filter_;
  UniqueFd program_;
};

ProbeFactory WritesBehind(bpf_tc_attach_point where, const char* prepare) {
  return [where, prepare] { return std::make_unique<WritesBehindProbe>(where, prepare); };
}

}  // namespace

void AddBehindProbes(ProbeTable& table) {
  table["tc_writes_behind_before"] = WritesBehind(BPF_TC_EGRESS, "");
  table["discipline_writes_behind_before"] =
      WritesBehind(BPF_TC_CUSTOM, "tc qdisc replace dev $IF root handle 1: prio");
}

}  // namespace bulkhead::leak
