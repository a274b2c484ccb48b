// The Datapath on this host's kernel: what a desired state means for maps, programs and sockets.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sensor/domain/datapath.h"
#include "sensor/kernel/allow_lists.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/event_reader.h"
#include "sensor/kernel/frames/frame_layer.h"
#include "sensor/kernel/interfaces/interface_layer.h"
#include "sensor/kernel/kernel.h"
#include "sensor/kernel/kernel_senders.h"
#include "sensor/kernel/learned_files.h"
#include "sensor/kernel/needed_files.h"
#include "sensor/kernel/predecessor.h"
#include "sensor/kernel/probe.h"
#include "sensor/kernel/programs.h"
#include "sensor/kernel/ring_holders.h"
#include "sensor/kernel/rule_set_store.h"
#include "sensor/kernel/runners.h"
#include "sensor/kernel/scoped_walls.h"
#include "sensor/kernel/socket_walker.h"
#include "sensor/kernel/wall_prover.h"

namespace bulkhead::sensor {

// Not thread safe.
class KernelDatapath : public Datapath {
 public:
  static absl::StatusOr<std::unique_ptr<Datapath>> Open(const DatapathOptions& options);

  const Capabilities& capabilities() const override { return probed_.capabilities; }
  std::vector<Refusal> Refusals(const DesiredState& state, const DesiredState& in_force) override;
  absl::Status Apply(const DesiredState& state) override;
  absl::Status SetControlPlane(const std::vector<ControlPlaneEndpoint>& endpoints) override;
  absl::StatusOr<ObservedState> Observe() override;
  absl::StatusOr<std::vector<std::string>> Maintain() override;
  int interface_fd() const override { return interfaces_.news_fd(); }
  std::vector<std::string> FollowInterfaces() override { return interfaces_.Repair(); }
  std::vector<ActiveProbe> Prove() override;
  std::vector<std::string> TakeScopeMoves() override { return std::exchange(scope_moves_, {}); }
  void DestroyForbidden() override;
  int event_fd() const override { return events_->fd(); }
  std::vector<Event> DrainEvents(size_t limit) override { return events_->Drain(limit); }

 private:
  // The maps that no generation owns.
  struct Maps {
    BpfMap host;
    BpfMap policies;
    BpfMap stops;
    BpfMap count;
    BpfMap events;
    BpfMap cuts;
    BpfMap control_plane;
    BpfMap local;
    BpfMap want;
    BpfMap overlay;
    BpfMap learned;
  };

  KernelDatapath(Scope scope, std::string directory, UniqueFd lock, Predecessor predecessor, ProbeResult probed,
                 Programs programs, RuleSetStore store, SocketWalker walker, RingHolders ring_holders);
  absl::Status OpenMaps();
  absl::Status WriteHostFacts(const std::string& sensor_cgroup);
  void AttachInterfaces();

  // Is a wall without a scope in force, by the programs' own clock?
  bool HostWallStands() const;
  // Ends what works past the wall that is in force.
  void EndWhatWorksPast();

  // The parts of Apply.
  absl::Status CheckSupported(const Policy& policy) const;
  absl::Status CheckNew(const Policy& policy, const DesiredState& in_force, std::optional<NeededFiles>* needed) const;
  uint32_t NextSerial() const;
  absl::StatusOr<RuleSet> Compile(const DesiredState& state, const ScopedWalls& scoped, BlockedFiles* blocked,
                                  AllowLists* lists) const;
  static absl::Status CheckSizes(const RuleSet& set);
  // When the leases of `state` end, by policy, where the kernel has this very state already (the sensor was restarted):
  // the wall clock may have been set since. Else empty.
  using Leases = std::map<std::string, uint64_t>;  // by the bytes of the policy's key
  absl::StatusOr<Leases> KnownLeases(const DesiredState& state) const;
  // Id of the cgroup that the published set has for a policy with a scope; 0: none.
  uint64_t CgroupInKernel(const std::string& policy_id) const;
  static uint64_t ExpiryOf(const Policy& policy, const Leases& known);

  // Takes what a sensor of another layout left away, once what was applied is proved to be carried by our own programs.
  void TakeOver();
  absl::Status ProveOwnPrograms();

  // The parts of Maintain.
  absl::Status RefreshBlockedFiles();
  absl::Status RefreshScopes();
  absl::Status RefreshAllowLists();
  // Who runs what is blocked, or what a list does not name; killed where the order says so.
  absl::Status RefreshRunners();
  std::map<std::string, std::set<uint32_t>> FindUnlisted();
  // What follows files and cgroups, as the kernel is to have it.
  static FoundRules Found(const BlockedFiles& blocked, const AllowLists& lists);
  AllowLists::Abilities list_abilities() const { return {probed_.Has("exec_digest"), probed_.deny_exec}; }
  absl::Status RefreshOverlayLayout();
  FileIdentifier identifier() const { return FileIdentifier(programs_.Find("bh_file_id"), &maps_.want); }
  absl::Status RefreshAddresses(std::vector<std::string>* repaired);
  absl::Status TrustArrivals();
  absl::Status RepairHostFacts(std::vector<std::string>* repaired);

  // The parts of Observe.
  struct BlockRule {
    uint32_t action = 0;  // enum bh_action
    uint64_t expires = 0;
    bool by_path = false;  // not by content alone
  };
  using BlockRules = std::map<std::string, BlockRule>;  // by the bytes of the policy's key
  absl::StatusOr<BlockRules> ReadBlocks() const;
  absl::Status ObservePolicies(const bh_config& config, ObservedState* observed) const;
  ObservedPolicy NetworkPolicy(bool containment, uint8_t action) const;
  void ObserveScope(const std::string& policy_id, ObservedPolicy* observed) const;
  ObservedPolicy BinaryPolicy(const std::string& policy_id, uint32_t action, bool by_path) const;

  void AddRunners(const std::string& policy_id, ObservedPolicy* observed) const;
  ObservedPolicy ListPolicy(const std::string& policy_id, const AllowLists::Status& list) const;

  std::string PolicyId(const bh_policy_key& key) const;

  Scope scope_;
  std::string directory_;
  UniqueFd lock_;
  Predecessor predecessor_;
  ProbeResult probed_;
  Programs programs_;
  RuleSetStore store_;
  SocketWalker walker_;
  RingHolders ring_holders_;
  KernelSenders kernel_senders_;
  FrameLayer frames_;
  InterfaceLayer interfaces_;
  Maps maps_;
  std::unique_ptr<EventReader> events_;
  BlockedFiles blocked_;
  AllowLists lists_;
  LearnedFiles learned_;
  Runners runners_;
  ContentCache running_contents_;  // of what runs in the scope of an allow-list
  DesiredState state_;             // what was applied last
  ScopedWalls scoped_;
  std::vector<std::string> scope_moves_;  // not yet taken
  WallProbePlan probe_plan_;
  int rounds_ = 0;            // of Maintain
  bool runners_due_ = false;  // what is blocked or listed changed since they were killed
  std::set<std::string>
      started_lists_;           // the same for allow-lists that came into force, by the bytes of the policy's key
  std::string runner_problem_;  // why processes that run a blocked file were not listed or killed; empty when they were
  bool applied_ = false;        // by this process; before, what an earlier one left is taken as it is
  bh_host host_{};
  std::vector<bh_endpoint> control_plane_;
  absl::Duration apply_time_;
  uint32_t sockets_destroyed_ = 0;
  uint64_t drift_repairs_ = 0;
  std::string socket_problem_;    // why forbidden sockets were not destroyed; empty when they were
  std::string takeover_problem_;  // why the predecessor is still there although something was applied
  std::string repair_problem_;    // why the last Maintain failed; empty when it did not
};

}  // namespace bulkhead::sensor
