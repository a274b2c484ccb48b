// A file of the state directory: a payload in an envelope that shows damage and foreign files.
#include "sensor/store/state_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

// A desired state of 100 000 rules is about 10 MB.
constexpr size_t kLargestFile = 64 << 20;

// What is wrong with `content`, or the payload.
absl::StatusOr<std::string> Unwrap(absl::string_view content, absl::string_view kind, int version) {
  const size_t end = content.find('\n');
  if (end == absl::string_view::npos) return absl::DataLossError("it has no header line");
  const std::vector<absl::string_view> header = absl::StrSplit(content.substr(0, end), ' ');
  if (header.size() != 5 || header[0] != "bulkhead")
    return absl::DataLossError("it was not written by bulkhead-sensor");
  if (header[1] != kind) return absl::DataLossError(absl::StrCat("it holds \"", header[1], "\", not \"", kind, "\""));
  if (header[2] != absl::StrCat(version)) {
    return absl::DataLossError(absl::StrCat("it has version ", header[2], "; this program reads version ", version));
  }
  const absl::string_view payload = content.substr(end + 1);
  if (header[4] != absl::StrCat(payload.size())) {
    return absl::DataLossError(absl::StrCat("it should have ", header[4], " bytes and has ", payload.size()));
  }
  if (header[3] != ToHex(Sha256(payload))) return absl::DataLossError("its checksum is wrong");
  return std::string(payload);
}

}  // namespace

StateFile::StateFile(std::string path, std::string kind, int version)
    : path_(std::move(path)), kind_(std::move(kind)), version_(version) {}

absl::StatusOr<std::string> StateFile::Read() const {
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path_, kLargestFile));
  absl::StatusOr<std::string> payload = Unwrap(content, kind_, version_);
  if (payload.ok()) return payload;
  const std::string aside = absl::StrCat(path_, ".corrupt-", absl::ToUnixSeconds(absl::Now()));
  if (rename(path_.c_str(), aside.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("rename the damaged file ", path_, " to ", aside));
  }
  return absl::DataLossError(absl::StrCat(path_, " is damaged: ", payload.status().message(), "; kept as ", aside));
}

absl::Status StateFile::Write(absl::string_view payload) const {
  return WriteFileAtomically(
      path_,
      absl::StrCat("bulkhead ", kind_, " ", version_, " ", ToHex(Sha256(payload)), " ", payload.size(), "\n", payload),
      0600);
}

absl::Status StateFile::Remove() const {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) return ErrnoToStatus(errno, absl::StrCat("remove ", path_));
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
