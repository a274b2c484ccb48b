// Contents of files: each is read once, for as long as its witness says that it did not change.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/statusor.h"
#include "sensor/kernel/found_file.h"

namespace bulkhead::sensor {

// To find what runs already; what is about to run is judged by the kernel, which trusts no witness. Holds 4096 files.
// Not thread safe.
class ContentCache {
 public:
  // As FoundFile::Read. What could not be read is tried again the next time.
  absl::StatusOr<FileContent> Read(const FoundFile& file);

 private:
  std::map<std::pair<uint64_t, uint64_t>, std::pair<FileWitness, FileContent>> read_;  // by device and inode
};

}  // namespace bulkhead::sensor
