// A moment on the command line: a time, or how long ago.
#include "controlplane/cli/time_flag.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controlplane/cli/outcome.h"

namespace bulkhead::controlplane::cli {
namespace {

// absl knows no days.
bool ParseAge(const std::string& text, absl::Duration* age) {
  int64_t days = 0;
  if (absl::EndsWith(text, "d") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days)) {
    *age = absl::Hours(24) * days;
    return days >= 0;
  }
  return absl::ParseDuration(text, age) && *age >= absl::ZeroDuration() && *age < absl::InfiniteDuration();
}

}  // namespace

absl::StatusOr<google::protobuf::Timestamp> TimeFromFlag(absl::string_view flag, const std::string& text,
                                                         absl::Time now) {
  absl::Time time;
  absl::Duration age;
  std::string ignored;
  if (ParseAge(text, &age)) {
    time = std::max(now - age, absl::UnixEpoch());
  } else if (!absl::ParseTime(absl::RFC3339_full, text, &time, &ignored) || time < absl::UnixEpoch()) {
    return UsageError(absl::StrCat(flag, ": \"", text, "\" is neither a time such as 2026-03-15T10:00:00Z nor an age ",
                                   "such as 30m, 2h or 3d"));
  }
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  timestamp.set_nanos(static_cast<int32_t>((time - absl::FromUnixSeconds(timestamp.seconds())) / absl::Nanoseconds(1)));
  return timestamp;
}

}  // namespace bulkhead::controlplane::cli
