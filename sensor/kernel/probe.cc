// Probes this kernel and chooses the programs to load.
#include "sensor/kernel/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "probe.skel.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/libbpf_log.h"
#include "sensor/kernel/probe_cgroup.h"
#include "sensor/kernel/probe_child.h"
#include "sensor/kernel/programs.h"
#include "sensor/kernel/socket_walker.h"

namespace bulkhead::sensor {
namespace {

enum class Expect { kEperm, kTimeout, kKilled, kCounted };

// One mechanism, how to see it work, and the programs that it stands for.
struct Experiment {
  const char* mechanism;
  const char* probe;
  ProbeAction action;
  Expect expect;
  std::vector<std::string> programs;
};

const std::vector<Experiment>& Experiments() {
  static const auto* const kAll = new std::vector<Experiment>{
      {"cgroup_skb", "bh_p_egress", ProbeAction::kSendUdp, Expect::kEperm, {"bh_egress"}},
      {"cgroup_skb", "bh_p_ingress", ProbeAction::kReceiveUdp, Expect::kTimeout, {"bh_ingress"}},
      {"sockops", "bh_p_sockops", ProbeAction::kAcceptTcp, Expect::kCounted, {"bh_sockops"}},
      {"cgroup_connect", "bh_p_connect4", ProbeAction::kConnectTcp, Expect::kEperm, {"bh_connect4", "bh_connect6"}},
      {"cgroup_sendmsg", "bh_p_sendmsg4", ProbeAction::kSendUdp, Expect::kEperm, {"bh_sendmsg4", "bh_sendmsg6"}},
      {"kprobe_tcp_connect", "bh_p_kp_conn", ProbeAction::kConnectTcp, Expect::kKilled, {"bh_kp_connect"}},
      {"fentry_tcp_connect", "bh_p_fe_conn", ProbeAction::kConnectTcp, Expect::kKilled, {"bh_fe_connect"}},
      {"tp_inet_sock_set_state", "bh_p_tp_conn", ProbeAction::kConnectTcp, Expect::kKilled, {"bh_tp_connect"}},
      {"ksyscall_execve",
       "bh_p_ks_exec",
       ProbeAction::kExecNothing,
       Expect::kKilled,
       {"bh_ks_execve", "bh_ks_execveat"}},
      {"tp_sys_enter_execve",
       "bh_p_tp_exec",
       ProbeAction::kExecNothing,
       Expect::kKilled,
       {"bh_tp_execve", "bh_tp_execveat"}},
      {"exec_identity", "bh_p_rtp_exec", ProbeAction::kExecFile, Expect::kKilled, {"bh_rtp_exec", "bh_rtp_allow"}},
      {"lsm_bprm_check", "bh_p_lsm", ProbeAction::kExecGarbage, Expect::kEperm, {"bh_lsm_bprm"}},
      {"fmod_ret_bprm_check", "bh_p_fmod", ProbeAction::kExecGarbage, Expect::kEperm, {"bh_fmod_bprm"}},
      {"lsm_mmap_file", "bh_p_lsm_map", ProbeAction::kMapCode, Expect::kEperm, {"bh_lsm_mmap", "bh_lsm_mprot"}},
      {"fmod_ret_mmap_file", "bh_p_fmod_map", ProbeAction::kMapCode, Expect::kEperm, {"bh_fmod_mmap", "bh_fmod_mprot"}},
      {"exec_digest",
       "bh_p_digest",
       ProbeAction::kExecGarbage,
       Expect::kEperm,
       {"bh_d_bprm", "bh_d_mmap", "bh_d_mprot", "bh_d_open", "bh_d_truncate"}},
  };
  return *kAll;
}

// Of these only the first that works is loaded: they do the same.
const std::vector<std::vector<std::string>>& Alternatives() {
  static const auto* const kAll = new std::vector<std::vector<std::string>>{
      {"kprobe_tcp_connect", "fentry_tcp_connect", "tp_inet_sock_set_state"},
      {"ksyscall_execve", "tp_sys_enter_execve"},
      {"lsm_bprm_check", "fmod_ret_bprm_check"},
      {"lsm_mmap_file", "fmod_ret_mmap_file"},
  };
  return *kAll;
}

struct LinkCloser {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using LinkPtr = std::unique_ptr<bpf_link, LinkCloser>;

absl::StatusOr<LinkPtr> AttachProbe(bpf_program* program, const ProbeCgroup& cgroup) {
  const bpf_prog_type type = bpf_program__type(program);
  TakeLibbpfWarning();
  LinkPtr link;
  if (type == BPF_PROG_TYPE_CGROUP_SKB || type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR || type == BPF_PROG_TYPE_SOCK_OPS) {
    const UniqueFd fd(open(cgroup.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    link.reset(bpf_program__attach_cgroup(program, fd.get()));
  } else {
    link.reset(bpf_program__attach(program));
  }
  if (link != nullptr) return link;
  return ErrnoToStatus(errno, absl::StrCat("attach: ", TakeLibbpfWarning()));
}

absl::Status Judge(const Experiment& experiment, const ProbeEffect& effect, uint32_t hits) {
  const bool seen = experiment.expect == Expect::kKilled    ? effect.killed
                    : experiment.expect == Expect::kEperm   ? effect.error == EPERM
                    : experiment.expect == Expect::kTimeout ? effect.error == ETIMEDOUT
                                                            : hits > 0;
  if (seen) return absl::OkStatus();
  return absl::FailedPreconditionError("loads and attaches, but the kernel never calls it");
}

// Needs the kernel's type information to be loaded, and fails to where the kernel forbids such programs.
bool NeedsBtf(const std::string& mechanism) {
  return mechanism == "fentry_tcp_connect" || mechanism == "exec_digest" || absl::StartsWith(mechanism, "lsm_") ||
         absl::StartsWith(mechanism, "fmod_ret_");
}

absl::StatusOr<ObjectPtr> LoadProbes(const std::set<std::string>& probes) {
  size_t size = 0;
  const void* bytes = probe_bpf::elf_bytes(&size);
  ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, probes));
  RETURN_IF_ERROR(LoadObject(object.get(), ""));
  return object;
}

// Most probes load on every kernel, so they are loaded together; one that does not load takes nothing down with it.
class Laboratory {
 public:
  explicit Laboratory(const ProbeCgroup& cgroup) : cgroup_(cgroup) {
    std::set<std::string> simple;
    for (const Experiment& experiment : Experiments()) {
      if (!NeedsBtf(experiment.mechanism)) simple.insert(experiment.probe);
    }
    absl::StatusOr<ObjectPtr> loaded = LoadProbes(simple);
    if (loaded.ok()) simple_ = std::move(*loaded);
  }

  absl::Status Run(const Experiment& experiment) const {
    if (simple_ != nullptr && !NeedsBtf(experiment.mechanism)) return RunWith(experiment, simple_.get());
    ASSIGN_OR_RETURN(const ObjectPtr object, LoadProbes({experiment.probe}));
    return RunWith(experiment, object.get());
  }

 private:
  absl::Status RunWith(const Experiment& experiment, bpf_object* object) const;

  const ProbeCgroup& cgroup_;
  ObjectPtr simple_;  // null: each is loaded alone
};

absl::Status Laboratory::RunWith(const Experiment& experiment, bpf_object* object) const {
  ASSIGN_OR_RETURN(ProbeChild child, ProbeChild::Start(experiment.action, cgroup_.path()));
  const int target_fd = bpf_object__find_map_fd_by_name(object, "bh_probe");
  const uint32_t zero = 0;
  bh_target target{static_cast<uint32_t>(child.pid()), 0, 0};
  if (bpf_map_update_elem(target_fd, &zero, &target, BPF_ANY) != 0) {
    return ErrnoToStatus(errno, "name the probe's child");
  }
  ASSIGN_OR_RETURN(const LinkPtr link,
                   AttachProbe(bpf_object__find_program_by_name(object, experiment.probe), cgroup_));
  ASSIGN_OR_RETURN(const ProbeEffect effect, child.Finish());
  if (bpf_map_lookup_elem(target_fd, &zero, &target) != 0) return ErrnoToStatus(errno, "read the probe's count");
  return Judge(experiment, effect, target.hits);
}

bool Works(const ProbeResult& result, const std::string& mechanism) {
  return result.Has(mechanism);
}

void ChoosePrograms(ProbeResult* result) {
  std::set<std::string> chosen;
  for (const Mechanism& mechanism : result->capabilities.mechanisms) {
    if (mechanism.available) chosen.insert(mechanism.name);
  }
  for (const std::vector<std::string>& alternatives : Alternatives()) {
    bool taken = false;
    for (const std::string& mechanism : alternatives) {
      if (taken) chosen.erase(mechanism);
      taken = taken || chosen.count(mechanism) != 0;
    }
  }
  for (const Experiment& experiment : Experiments()) {
    if (chosen.count(experiment.mechanism) == 0) continue;
    result->programs.insert(experiment.programs.begin(), experiment.programs.end());
  }
}

Tier NetworkTier(const ProbeResult& result) {
  const bool wall = Works(result, "cgroup_skb") && Works(result, "sockops");
  if (!wall) return Tier::kNone;
  const bool full = Works(result, "cgroup_connect") && Works(result, "cgroup_sendmsg") && Works(result, "sock_destroy");
  return full ? Tier::kFull : Tier::kWall;
}

Tier ContainmentTier(const ProbeResult& result) {
  const Tier network = NetworkTier(result);
  if (network != Tier::kNone) return network == Tier::kFull && !result.kill_connect ? Tier::kWall : network;
  return result.kill_connect || Works(result, "cgroup_connect") ? Tier::kPartial : Tier::kNone;
}

Tier BlockBinaryTier(const ProbeResult& result) {
  const bool maps = Works(result, "lsm_mmap_file") || Works(result, "fmod_ret_mmap_file");
  const bool full = result.deny_exec && maps && Works(result, "exec_digest");
  if (Works(result, "exec_identity")) return full ? Tier::kFull : Tier::kWall;
  if (result.deny_exec) return Tier::kWall;
  return Works(result, "ksyscall_execve") || Works(result, "tp_sys_enter_execve") ? Tier::kPartial : Tier::kNone;
}

// Without a hook that sees mappings, a listed program may load code that nobody listed.
Tier AllowListTier(const ProbeResult& result) {
  const bool maps = Works(result, "lsm_mmap_file") || Works(result, "fmod_ret_mmap_file");
  if (result.deny_exec && maps) return Works(result, "exec_digest") ? Tier::kFull : Tier::kWall;
  return result.deny_exec || Works(result, "exec_identity") ? Tier::kPartial : Tier::kNone;
}

}  // namespace

bool ProbeResult::Has(const std::string& mechanism) const {
  return std::any_of(capabilities.mechanisms.begin(), capabilities.mechanisms.end(),
                     [&mechanism](const Mechanism& m) { return m.available && m.name == mechanism; });
}

absl::StatusOr<ProbeResult> ProbeKernel() {
  ASSIGN_OR_RETURN(const std::string root, FindCgroup2Mount());
  ASSIGN_OR_RETURN(const ProbeCgroup cgroup, ProbeCgroup::Make(root));
  const Laboratory laboratory(cgroup);
  ProbeResult result;
  const auto add = [&result](const std::string& name, const absl::Status& status) {
    std::vector<Mechanism>& known = result.capabilities.mechanisms;
    // Two experiments for one mechanism: both have to work.
    if (!known.empty() && known.back().name == name && status.ok()) return;
    if (!known.empty() && known.back().name == name) known.pop_back();
    Mechanism mechanism{name, status.ok(), std::string()};
    if (!status.ok()) mechanism.reason = std::string(status.message());
    known.push_back(std::move(mechanism));
  };
  for (const Experiment& experiment : Experiments()) add(experiment.mechanism, laboratory.Run(experiment));
  add("sock_destroy", ProbeSocketDestroy());
  result.kill_connect = Works(result, "kprobe_tcp_connect") || Works(result, "fentry_tcp_connect") ||
                        Works(result, "tp_inet_sock_set_state");
  result.deny_exec = Works(result, "lsm_bprm_check") || Works(result, "fmod_ret_bprm_check");
  result.capabilities.containment = ContainmentTier(result);
  result.capabilities.isolation = NetworkTier(result);
  result.capabilities.block_binary = BlockBinaryTier(result);
  result.capabilities.allow_list = AllowListTier(result);
  ChoosePrograms(&result);
  return result;
}

}  // namespace bulkhead::sensor
