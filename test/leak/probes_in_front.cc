// Ways past the walls by programs and filters of others: an XDP program that sends below them, a filter or a tcx
// program that answers before the interface's wall does, and that wall taken off.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "test/leak/probe.h"
#include "test/leak/shell_probe.h"
#include "test/leak/small_programs.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

// return bpf_redirect(kInterface, 0)
absl::StatusOr<UniqueFd> LoadRedirect() {
  const bpf_insn call = {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect};
  return LoadProgram(BPF_PROG_TYPE_XDP, {SetRegister(BPF_REG_1, static_cast<int32_t>(if_nametoindex(kInterface))),
                                         SetRegister(BPF_REG_2, 0), call, kExit});
}

// TC_ACT_OK and TCX_PASS are the same number: the frame passes, and nobody else is asked.
absl::StatusOr<UniqueFd> LoadPass() {
  return LoadProgram(BPF_PROG_TYPE_SCHED_CLS, {SetRegister(BPF_REG_0, TC_ACT_OK), kExit});
}

// An XDP program on an interface, in the kernel's generic form, which needs nothing of the driver and asks no tc filter
// when it sends.
class AttachedXdp {
 public:
  explicit AttachedXdp(const char* interface) : index_(static_cast<int>(if_nametoindex(interface))) {}
  ~AttachedXdp() { bpf_xdp_detach(index_, XDP_FLAGS_SKB_MODE, nullptr); }

  absl::Status Attach(int program) {
    const int error = bpf_xdp_attach(index_, program, XDP_FLAGS_SKB_MODE, nullptr);
    return error == 0 ? absl::OkStatus() : ErrnoToStatus(-error, "attach an XDP program");
  }

 private:
  const int index_;
};

// Loopback's traffic, which every wall lets pass, handed to the interface's driver by an XDP program.
class XdpRedirectProbe : public Probe {
 public:
  enum class Loaded { kUnderTheOrder, kBefore, kBeforeAndAttached };
  explicit XdpRedirectProbe(Loaded loaded) : loaded_(loaded) {}

  absl::Status Prepare(const Shot&) override {
    if (loaded_ == Loaded::kUnderTheOrder) return absl::OkStatus();
    ASSIGN_OR_RETURN(program_, LoadRedirect());
    return loaded_ == Loaded::kBeforeAndAttached ? loopback_.Attach(program_.get()) : absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    if (loaded_ == Loaded::kUnderTheOrder) {
      ASSIGN_OR_RETURN(program_, LoadRedirect());
    }
    if (loaded_ != Loaded::kBeforeAndAttached) RETURN_IF_ERROR(loopback_.Attach(program_.get()));
    return RunWords(kSendToLoopback, shot);
  }

 private:
  const Loaded loaded_;
  UniqueFd program_;
  AttachedXdp loopback_{"lo"};
};

// A program on the interface itself sends back what arrives; it could send anything.
class XdpAnswerProbe : public Probe {
 public:
  absl::Status Prepare(const Shot&) override {
    ASSIGN_OR_RETURN(program_, LoadProgram(BPF_PROG_TYPE_XDP, {SetRegister(BPF_REG_0, XDP_TX), kExit}));
    return interface_.Attach(program_.get());
  }
  absl::Status Attempt(const Shot&) override { return absl::OkStatus(); }  // the peer begins

 private:
  UniqueFd program_;
  AttachedXdp interface_{kInterface};
};

// A filter in front of the wall's on the interface. Of one priority's bpf filters the newest is asked first.
class PassingFilter : public AttachedFilter {
 public:
  PassingFilter() : AttachedFilter(BPF_TC_EGRESS, 1) {}
};

// A tcx program (Linux 6.6) at the head of the interface's list, which is asked before every tc filter. This libbpf
// does not know tcx. The link lasts as long as this process.
class PassingTcx {
 public:
  absl::Status Attach(int program) {
    constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);  // BPF_TCX_EGRESS
    LIBBPF_OPTS(bpf_link_create_opts, head, .flags = 1U << 3);     // BPF_F_BEFORE
    link_.Reset(bpf_link_create(program, static_cast<int>(if_nametoindex(kInterface)), kTcxEgress, &head));
    return link_.valid() ? absl::OkStatus() : ErrnoToStatus(errno, "attach a tcx program");
  }

 private:
  UniqueFd link_;
};

// Loopback's traffic, mirrored from before the order, past a program that answers before the interface's wall.
template <typename InFront>
class PassesFirstProbe : public Probe {
 public:
  explicit PassesFirstProbe(bool before) : before_(before) {}
  ~PassesFirstProbe() override { Run(kUnmirrorLoopback).IgnoreError(); }

  absl::Status Prepare(const Shot& shot) override {
    RETURN_IF_ERROR(RunWords(kMirrorLoopback, shot));
    return before_ ? PutInFront() : absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    if (!before_) RETURN_IF_ERROR(PutInFront());
    return RunWords(kSendToLoopback, shot);
  }

 private:
  absl::Status PutInFront() {
    ASSIGN_OR_RETURN(program_, LoadPass());
    return in_front_.Attach(program_.get());
  }

  const bool before_;
  UniqueFd program_;
  InFront in_front_;
};

template <typename InFront>
ProbeFactory PassesFirst(bool before) {
  return [before] { return std::make_unique<PassesFirstProbe<InFront>>(before); };
}

ProbeFactory XdpRedirect(XdpRedirectProbe::Loaded loaded) {
  return [loaded] { return std::make_unique<XdpRedirectProbe>(loaded); };
}

// Again and again for two seconds: the sensor puts back what it misses once a second.
std::string DeleteWallAndSend() {
  return absl::StrCat("for i in {1..20}; do tc qdisc del dev $IF clsact || true; ", kSendToLoopback,
                      "; sleep 0.1; done");
}

}  // namespace

void AddInFrontProbes(ProbeTable& table) {
  using Loaded = XdpRedirectProbe::Loaded;
  table["xdp_redirect"] = XdpRedirect(Loaded::kUnderTheOrder);
  table["xdp_redirect_loaded_before"] = XdpRedirect(Loaded::kBefore);
  table["xdp_redirect_before"] = XdpRedirect(Loaded::kBeforeAndAttached);
  table["xdp_answers_before"] = [] { return std::make_unique<XdpAnswerProbe>(); };
  table["tc_passes_first"] = PassesFirst<PassingFilter>(false);
  table["tc_passes_first_before"] = PassesFirst<PassingFilter>(true);
  table["tcx_passes_first"] = PassesFirst<PassingTcx>(false);
  table["tcx_passes_first_before"] = PassesFirst<PassingTcx>(true);
  table["tc_wall_deleted"] =
      Shell({.prepare = kMirrorLoopback, .attempt = DeleteWallAndSend(), .clean = kUnmirrorLoopback});
}

}  // namespace bulkhead::leak
