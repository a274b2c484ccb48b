// Who runs a file: by the file itself, whatever its name is now, and by content.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sensor/domain/process_killer.h"
#include "sensor/domain/process_tree.h"
#include "sensor/kernel/content_cache.h"
#include "sensor/kernel/found_file.h"

namespace bulkhead::sensor {

// Not thread safe.
class RunningFiles {
 public:
  // Holds the file that is behind the path now. A path with nothing behind it is one whose file was deleted.
  // FailedPrecondition: it is a directory, or no regular file.
  static absl::StatusOr<RunningFiles> Of(const RunningFile& file);

  // The processes that run it now: whose executable is the file (device and inode; while both are open two files cannot
  // share them), or was deleted from the path, or, where only a digest is known, has the content. With a path and a
  // digest both hold. A process whose first thread has ended is asked through its other threads.
  std::vector<ProcessKey> Find();

 private:
  explicit RunningFiles(const RunningFile& file) : wanted_(file) {}
  bool Runs(const ProcessKey& process);
  bool IsNamed(const std::string& exe, const std::string& directory, const FoundFile& executable) const;
  bool HasContent(const FoundFile& executable);

  RunningFile wanted_;
  std::optional<FoundFile> file_;  // behind the path; none: nothing is
  ContentCache contents_;
};

}  // namespace bulkhead::sensor
