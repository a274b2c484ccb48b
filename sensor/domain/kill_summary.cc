// What became of a group of processes, from what became of each.
#include "sensor/domain/kill_summary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLongestText = 256;

std::string Cut(std::string text) {
  if (text.size() <= kLongestText) return text;
  text.resize(kLongestText);
  return text + "…";
}

CommandOutcome OutcomeOf(const KillCounts& counts) {
  if (counts.still_there > 0) return CommandOutcome::kSignalledStillThere;
  if (counts.killed > 0) return CommandOutcome::kGone;
  return counts.refused > 0 ? CommandOutcome::kRefused : CommandOutcome::kAlreadyGone;
}

std::string MessageOf(const KillCounts& counts) {
  if (counts.killed + counts.refused + counts.still_there == 0) return "there was no such process";
  std::string text = absl::StrCat(counts.killed, " killed, and seen to end");
  if (counts.still_there > 0) absl::StrAppend(&text, "; ", counts.still_there, " signalled and not ended");
  if (counts.refused > 0) absl::StrAppend(&text, "; ", counts.refused, " left alone");
  return text;
}

}  // namespace

CommandResult SummarizeKills(std::vector<KilledProcess> processes, const std::string& how) {
  CommandResult result;
  KillGroupEvidence& evidence = result.group.emplace();
  const auto ended = [](const KilledProcess& process) { return process.outcome == CommandOutcome::kAlreadyGone; };
  processes.erase(std::remove_if(processes.begin(), processes.end(), ended), processes.end());
  for (const KilledProcess& process : processes) {
    const bool killed = process.outcome == CommandOutcome::kGone;
    const bool signalled = process.outcome == CommandOutcome::kSignalledStillThere;
    ++(killed ? evidence.counts.killed : signalled ? evidence.counts.still_there : evidence.counts.refused);
  }
  std::stable_partition(processes.begin(), processes.end(),
                        [](const KilledProcess& process) { return process.outcome != CommandOutcome::kGone; });
  if (processes.size() > kMostProcessesListed) processes.resize(kMostProcessesListed);
  for (KilledProcess& process : processes) {
    process.found = Cut(std::move(process.found));
    process.message = Cut(std::move(process.message));
  }
  evidence.processes = std::move(processes);
  result.outcome = OutcomeOf(evidence.counts);
  result.message = absl::StrCat(MessageOf(evidence.counts), how.empty() ? "" : "; ", how);
  return result;
}

}  // namespace bulkhead::sensor
