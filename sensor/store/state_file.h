// A file of the state directory: a payload in an envelope that shows damage and foreign files.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead::sensor {

// One file: the first line is "bulkhead <kind> <version> <SHA-256 of the payload> <payload length>", the payload
// follows. Written atomically with mode 0600. Not thread safe.
class StateFile {
 public:
  // `kind` says what the payload is, such as "desired-state"; one word. A file of another kind or version is not read.
  StateFile(std::string path, std::string kind, int version);

  // The payload. NotFound: there is no file. DataLoss: it is damaged or not ours; it was kept aside as
  // <path>.corrupt-<seconds since the epoch>, so that the next write does not destroy what a person may want to look
  // at.
  absl::StatusOr<std::string> Read() const;

  absl::Status Write(absl::string_view payload) const;

  // OK also when there is no file.
  absl::Status Remove() const;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string kind_;
  int version_;
};

}  // namespace bulkhead::sensor
