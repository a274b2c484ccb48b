// What sensors of other layouts left in the kernel for the same scope: it stays in force until this sensor took its
// place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::sensor {

// The pins of one scope (docs/adr/0019):
//
//   <scope directory>/abi<N>/    what a sensor of layout N (BH_ABI_VERSION) pinned; layouts 1 and 2: the directory
//   above <scope directory>/bh_host    the highest layout that was ever in force here; sensors of lower ones refuse to
//   start
//
// Not thread safe.
class Predecessor {
 public:
  // FailedPrecondition: a sensor of a higher layout was here; what it enforces is not understood and not touched.
  static absl::StatusOr<Predecessor> Find(const std::string& scope_directory);

  // Its programs are attached.
  bool present() const { return !found_.empty(); }

  // Something is published for them, so they may be enforcing it. True also when that cannot be read.
  bool published() const;

  // "layout 2"
  std::string name() const;

  // From now on sockets of cgroup `id` count as the sensor's for it too: a service that was started anew may have a new
  // cgroup, and must reach its control plane through both walls.
  absl::Status AdmitSensor(uint64_t id) const;

  // Lifts it. A crash in the middle leaves programs that do nothing, and the next call goes on.
  absl::Status Retire();

  // Keeps sensors of lower layouts from starting here: they would not see what this one enforces. To be called before
  // anything is published.
  absl::Status KeepOlderOut();

 private:
  struct Pins {
    std::string directory;
    uint32_t layout = 0;
  };

  explicit Predecessor(std::string scope_directory) : scope_directory_(std::move(scope_directory)) {}

  std::string scope_directory_;
  std::vector<Pins> found_;
  bool older_are_out_ = false;
};

// Lifts what sensors of any layout pinned for this scope. OK when nothing is there.
absl::Status LiftEverything(const std::string& scope_directory);

}  // namespace bulkhead::sensor
