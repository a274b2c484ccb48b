// Pinned maps of the datapath, as far as the second wall reads them, with a rule set that a test publishes by hand.
#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/abi.h"

namespace bulkhead::sensor {

// Publishes a set with this isolation wall in the maps that are pinned below `directory`. Aborts when it cannot.
void PublishWalls(const std::string& directory, bh_wall_mode isolate);

// Makes `/sys/fs/bpf/bulkhead-test-<pid>` and removes it with everything in it. Needs root and a mounted bpf file
// system.
class RuleSetFixture {
 public:
  RuleSetFixture();
  ~RuleSetFixture();

  const std::string& directory() const { return directory_; }

  // Confines enforcement to a cgroup; the whole host when never called. Call after the programs are loaded.
  void SetScope(const std::string& cgroup_path, uint32_t level);

  // Publishes a set with these walls.
  void Publish(bh_wall_mode contain, bh_wall_mode isolate);

  // Makes the programs find a published set that cannot be read.
  void PublishNothing();

  // Nothing was ever published.
  void Withdraw();

 private:
  std::string directory_;
};

}  // namespace bulkhead::sensor
