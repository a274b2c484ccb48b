// Follows a tree of processes while it is killed: who is forked by a member is known before it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/process_tree.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/programs.h"

struct bpf_link;

namespace bulkhead::sensor {

// Loads bpf/kill.bpf.c for as long as the object lives. Not thread safe.
class ForkWatch {
 public:
  struct Member {
    ProcessKey key;
    bool forked_here = false;  // known because it was forked by a member, not because it was added
    bool killed = false;       // by the kernel, as it forked
  };

  // Follows nobody yet.
  static absl::StatusOr<std::unique_ptr<ForkWatch>> Start();
  ~ForkWatch();
  ForkWatch(const ForkWatch&) = delete;
  ForkWatch& operator=(const ForkWatch&) = delete;

  // Makes processes members; those that are already are left as they are.
  absl::Status Add(const std::vector<ProcessKey>& processes);

  // From now on a member inside `scope` that forks is killed by the kernel as it does.
  absl::Status Arm(const Scope& scope);

  // Everybody who is or was one.
  absl::StatusOr<std::vector<Member>> Members() const;

  // How many did not fit.
  uint64_t lost() const;

 private:
  explicit ForkWatch(ObjectPtr object) : object_(std::move(object)) {}
  absl::Status Attach();

  ObjectPtr object_;
  bpf_link* link_ = nullptr;
  BpfMap tree_;
  BpfMap hunt_;
};

}  // namespace bulkhead::sensor
