// What /proc says about one process.
#include "sensor/kernel/process_info.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

// Indices of fields after the name in parentheses: state is field 3 of proc(5).
constexpr size_t kParent = 1;
constexpr size_t kFlags = 6;
constexpr size_t kStartTime = 19;
constexpr uint64_t kKernelThreadFlag = 0x00200000;  // PF_KTHREAD

}  // namespace

absl::StatusOr<ProcessInfo> ParseProcessStat(absl::string_view text) {
  // The name may hold blanks and parentheses; the last one closes it.
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) {
    return absl::InvalidArgumentError("no process name in /proc/PID/stat");
  }
  const std::vector<absl::string_view> fields = absl::StrSplit(text.substr(close + 1), ' ', absl::SkipWhitespace());
  ProcessInfo info;
  uint64_t flags = 0;
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &info.start_time_ticks) ||
      !absl::SimpleAtoi(fields[kFlags], &flags) || !absl::SimpleAtoi(fields[kParent], &info.parent)) {
    return absl::InvalidArgumentError("too few fields in /proc/PID/stat");
  }
  info.kernel_thread = (flags & kKernelThreadFlag) != 0;
  info.command_line = absl::StrCat("[", text.substr(open + 1, close - open - 1), "]");
  return info;
}

absl::StatusOr<ProcessInfo> ReadProcess(pid_t pid) {
  const std::string directory = absl::StrCat("/proc/", pid);
  const absl::StatusOr<std::string> stat = ReadFile(directory + "/stat");
  if (!stat.ok()) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  ASSIGN_OR_RETURN(ProcessInfo info, ParseProcessStat(*stat));
  std::error_code error;
  info.executable = std::filesystem::read_symlink(directory + "/exe", error).string();
  std::string arguments = ReadFile(directory + "/cmdline").value_or("");
  while (!arguments.empty() && arguments.back() == '\0') arguments.pop_back();
  std::replace(arguments.begin(), arguments.end(), '\0', ' ');
  if (!arguments.empty()) info.command_line = std::move(arguments);
  return info;
}

std::vector<ProcessEntry> ReadProcessTable() {
  std::vector<ProcessEntry> table;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; it != end && !error; it.increment(error)) {
    ProcessEntry entry;
    if (!absl::SimpleAtoi(it->path().filename().string(), &entry.key.pid)) continue;
    const absl::StatusOr<std::string> stat = ReadFile(it->path().string() + "/stat");
    const absl::StatusOr<ProcessInfo> info = stat.ok() ? ParseProcessStat(*stat) : stat.status();
    if (!info.ok()) continue;  // it has ended
    entry.key.start_time_ticks = info->start_time_ticks;
    entry.parent = info->parent;
    table.push_back(entry);
  }
  return table;
}

absl::Time StartedAt(uint64_t start_time_ticks) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const absl::Time boot = absl::Now() - absl::DurationFromTimespec(now);
  return boot + absl::Seconds(1) * static_cast<double>(start_time_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace bulkhead::sensor
