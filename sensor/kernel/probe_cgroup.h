// A cgroup for the child process of a probe.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace bulkhead::sensor {

// Removed with this object, which waits at most 0.2 s for a dead child to leave it.
class ProbeCgroup {
 public:
  // Makes one below the cgroup directory `parent`.
  static absl::StatusOr<ProbeCgroup> Make(const std::string& parent);
  ProbeCgroup(ProbeCgroup&& other) noexcept : path_(std::exchange(other.path_, std::string())) {}
  ProbeCgroup& operator=(ProbeCgroup&&) = delete;
  ~ProbeCgroup();

  const std::string& path() const { return path_; }

 private:
  explicit ProbeCgroup(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace bulkhead::sensor
