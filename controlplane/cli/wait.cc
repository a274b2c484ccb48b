// --wait: from "the order is stored" to "the kernel has it".
#include "controlplane/cli/wait.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr absl::Duration kFirstPoll = absl::Milliseconds(20);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
constexpr absl::Duration kReconnectDelay = absl::Milliseconds(300);

// Other policies may be refused: this order is not about them.
bool Reached(const v1::Sensor& sensor, const Goal& goal) {
  const bool in_force =
      sensor.convergence() == v1::CONVERGENCE_STATE_SYNCED || sensor.convergence() == v1::CONVERGENCE_STATE_PARTIAL;
  return in_force && sensor.observed().receipt().generation() >= goal.generation;
}

// Why the sensor refused the policy that is waited for; empty when it did not.
std::string RefusedBecause(const v1::Sensor& sensor, const Goal& goal) {
  for (const v1::ObservedPolicy& policy : sensor.observed().policies()) {
    if (!goal.policy_id.empty() && policy.policy_id() == goal.policy_id) return policy.refused();
  }
  return "";
}

// Why the sensor keeps what is not ordered any more; empty when it does not. It waits for the operators' signatures.
std::string KeptBecause(const v1::Sensor& sensor, const Goal& goal) {
  if (!goal.lifts || sensor.observed().receipt().generation() < goal.generation) return "";
  for (const v1::ObservedPolicy& policy : sensor.observed().policies()) {
    const bool ordered = std::any_of(sensor.enforcement_policies().begin(), sensor.enforcement_policies().end(),
                                     [&](const auto& candidate) { return candidate.id() == policy.policy_id(); });
    if (!ordered && !policy.refused().empty()) return policy.refused();
  }
  return "";
}

// The rules are in the kernel, and something got past them all the same.
bool ProbeFailed(const v1::Receipt& receipt) {
  return std::any_of(receipt.probes().begin(), receipt.probes().end(),
                     [](const v1::ProbeResult& probe) { return probe.required() && !probe.passed(); });
}

// What is known about the sensors that are waited for.
class Progress {
 public:
  explicit Progress(const std::vector<Goal>& goals) : goals_(goals) {}

  // Takes a change. An error when it shows that a goal will not be reached.
  absl::Status Take(const v1::WatchSensorsResponse& change, absl::Time now) {
    const auto goal = std::find_if(goals_.begin(), goals_.end(),
                                   [&](const Goal& candidate) { return candidate.sensor_id == change.sensor().id(); });
    if (goal == goals_.end()) return absl::OkStatus();
    if (change.deleted()) return NotConverged(absl::StrCat("sensor ", goal->name, " was deleted while waiting for it"));
    seen_[goal->sensor_id] = change.sensor();
    const std::string because = RefusedBecause(change.sensor(), *goal);
    if (!because.empty()) {
      return NotConverged(absl::StrCat("sensor ", goal->name, " refused this policy, and enforces the others: ",
                                       Printable(because), "\n  to do: bulkheadctl policy delete ", goal->policy_id));
    }
    const std::string kept = KeptBecause(change.sensor(), *goal);
    if (!kept.empty()) {
      return NotConverged(absl::StrCat("sensor ", goal->name, " keeps a policy in force: ", Printable(kept),
                                       "\n  to do: lift it with --sign-key"));
    }
    const bool refused = change.sensor().convergence() == v1::CONVERGENCE_STATE_FAILED &&
                         change.sensor().desired_generation() >= goal->generation;
    if (!refused) return absl::OkStatus();
    return NotConverged(
        absl::StrCat("sensor ", goal->name, " could not apply it: ", ConvergenceProblem(change.sensor(), now),
                     !ProbeFailed(change.sensor().observed().receipt()) ? "\n  what was enforced before still is" : "",
                     "\n  see: bulkheadctl sensor get ", goal->name));
  }

  bool Done() const {
    return std::all_of(goals_.begin(), goals_.end(), [this](const Goal& goal) {
      const auto found = seen_.find(goal.sensor_id);
      return found != seen_.end() && Reached(found->second, goal);
    });
  }

  std::vector<v1::Sensor> Sensors() const {
    std::vector<v1::Sensor> sensors;
    for (const Goal& goal : goals_) sensors.push_back(seen_.at(goal.sensor_id));
    return sensors;
  }

  absl::Status TimedOut(absl::Duration timeout, absl::Time now) const {
    std::string text =
        absl::StrCat("the order is stored, but the kernel did not confirm it within ", absl::FormatDuration(timeout));
    for (const Goal& goal : goals_) {
      const auto found = seen_.find(goal.sensor_id);
      if (found != seen_.end() && Reached(found->second, goal)) continue;
      absl::StrAppend(&text, "\n  ", goal.name, ": ");
      if (found == seen_.end()) {
        absl::StrAppend(&text, "the control plane did not say how far it is");
        continue;
      }
      const std::string problem = ConvergenceProblem(found->second, now);
      absl::StrAppend(&text, Word(found->second.convergence()), ", generation ",
                      found->second.observed().receipt().generation(), " of ", goal.generation,
                      problem.empty() ? "" : ": ", problem);
    }
    absl::StrAppend(&text, "\n  to do: follow it with bulkheadctl sensor watch, or wait longer with --timeout");
    return NotConverged(text);
  }

 private:
  const std::vector<Goal>& goals_;
  std::map<std::string, v1::Sensor> seen_;
};

}  // namespace

absl::StatusOr<std::vector<v1::Sensor>> WaitForKernels(Session& session, const std::vector<Goal>& goals,
                                                       absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  Progress progress(goals);
  v1::WatchSensorsRequest request;
  for (const Goal& goal : goals) request.add_sensors(goal.sensor_id);
  if (goals.empty()) return std::vector<v1::Sensor>{};
  RETURN_IF_ERROR(session.Connect());
  v1::SensorService::Stub stub(session.channel());
  while (absl::Now() < deadline) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    const auto reader = stub.WatchSensors(&context, request);
    v1::WatchSensorsResponse change;
    absl::Status refused;
    while (refused.ok() && !progress.Done() && reader->Read(&change)) refused = progress.Take(change, session.now());
    context.TryCancel();
    const grpc::Status ended = reader->Finish();
    RETURN_IF_ERROR(refused);
    if (progress.Done()) return progress.Sensors();
    // At the deadline either side may be the first to end the stream.
    const bool over = ended.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED || absl::Now() >= deadline;
    const bool lost = ended.error_code() == grpc::StatusCode::UNAVAILABLE || ended.ok();
    if (!lost && !over) return DescribeCallError(ended, {session.connection.server, ""});
    absl::SleepFor(std::min(kReconnectDelay, std::max(deadline - absl::Now(), absl::ZeroDuration())));
  }
  return progress.TimedOut(timeout, session.now());
}

absl::StatusOr<v1::Command> WaitForCommand(Session& session, const std::string& command_id, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  v1::GetCommandRequest request;
  request.set_id(command_id);
  absl::Duration pause = kFirstPoll;
  for (;;) {
    const auto response = session.Call(&v1::SensorService::Stub::GetCommand, request);
    if (!response.ok() && !absl::IsUnavailable(response.status())) return response.status();
    if (response.ok()) {
      const v1::Command& command = response->command();
      if (command.state() == v1::COMMAND_STATE_SUCCEEDED) return command;
      if (command.state() == v1::COMMAND_STATE_FAILED || command.state() == v1::COMMAND_STATE_EXPIRED) {
        return NotConverged(absl::StrCat("the command ", Word(command.state()), "\n", RenderCommand(command)));
      }
    }
    if (absl::Now() + pause >= deadline) {
      return NotConverged(absl::StrCat("the command is stored, but has no result after ", absl::FormatDuration(timeout),
                                       "\n  to do: bulkheadctl command get ", command_id));
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, kLongestPoll);
  }
}

}  // namespace bulkhead::controlplane::cli
