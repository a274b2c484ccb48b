// The wall on network interfaces, for what no socket of this host sends as it leaves; see bpf/interfaces.bpf.c.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/ended.h"
#include "sensor/kernel/programs.h"

namespace bulkhead::sensor {

// The programs follow the rule set that is published in the datapath's pinned maps; there is nothing to switch here.
// They are tc filters (clsact, kernel 4.5 and later), so they stay when the process is gone. Works on the network
// namespace of the calling thread. Not thread safe.
class InterfaceWall {
 public:
  // Names the interfaces to guard, by index; asked again at each Maintain.
  using Finder = std::function<std::vector<int>()>;

  // Loads the programs, with the datapath's maps pinned below `pin_directory`; the first Maintain attaches them.
  static absl::StatusOr<std::unique_ptr<InterfaceWall>> Open(const std::string& pin_directory, Finder find);

  // Takes our filters from these interfaces. Their clsact queueing discipline stays: others may use it.
  static void Remove(const std::vector<int>& interfaces);

  // Attaches what is missing: to new interfaces, in place of an earlier sensor's filters with no gap, and where
  // somebody took a filter away. Says what it repaired. Fails where the kernel has no clsact.
  absl::StatusOr<std::vector<std::string>> Maintain();

  // Takes away every filter of others: one that is asked before ours could let by what we deny, one that is asked after
  // it could change what we let by. Adds what it did; see TakeForeignFilters.
  absl::Status StandAlone(Ended* ended);

  // The interfaces that Maintain saw, by index.
  const std::vector<int>& guarded() const { return guarded_; }

  // What is attached, as far as Maintain saw.
  std::vector<AttachedProgram> programs() const;

 private:
  InterfaceWall(ObjectPtr object, Finder find) : object_(std::move(object)), find_(std::move(find)) {}
  const bpf_program* Program(const char* name) const;
  absl::Status AttachTo(int interface);

  ObjectPtr object_;
  Finder find_;
  std::vector<int> guarded_;
  uint32_t out_id_ = 0;
  uint32_t in_id_ = 0;
};

}  // namespace bulkhead::sensor
