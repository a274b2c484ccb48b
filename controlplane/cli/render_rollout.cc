// Rollouts and their sensors as text.
#include "absl/strings/str_cat.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/rollout_follow.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

std::string OrderWord(const v1::RolloutOrder& order) {
  switch (order.order_case()) {
    case v1::RolloutOrder::kContain:
      return "contain";
    case v1::RolloutOrder::kIsolate:
      return "isolate";
    case v1::RolloutOrder::kRelease:
      return "release";
    case v1::RolloutOrder::kBlockBinary:
      return "block-binary";
    default:
      return "unknown";
  }
}

std::string SelectorWord(const v1::Rollout& rollout) {
  return rollout.label_selector().empty() ? "(all)" : rollout.label_selector();
}

std::string LimitsWord(const v1::RolloutLimits& limits) {
  return absl::StrCat(limits.max_in_flight(), " at once, ",
                      limits.max_per_hour() == 0 ? "any number" : absl::StrCat(limits.max_per_hour()),
                      " an hour, halts at ", limits.max_failures(),
                      limits.max_failures() == 1 ? " failure" : " failures", ", each enforced within ",
                      limits.enforce_within_seconds(), " s");
}

}  // namespace

std::string RenderRollouts(const v1::ListRolloutsResponse& rollouts, absl::Time now) {
  Table table({"STATE", "ORDER", "SELECTOR", "PENDING", "ORDERED", "ENFORCED", "FAILED", "AGE", "BY", "ID"});
  for (const v1::Rollout& rollout : rollouts.rollouts()) {
    table.AddRow({Word(rollout.state()), OrderWord(rollout.order()), SelectorWord(rollout),
                  absl::StrCat(rollout.pending()), absl::StrCat(rollout.ordered()), absl::StrCat(rollout.enforced()),
                  absl::StrCat(rollout.failed()), AgeWord(rollout.created_at(), now), rollout.created_by(),
                  rollout.id()});
  }
  return table.ToString();
}

std::string RenderRolloutTargets(const v1::ListRolloutTargetsResponse& targets, absl::Time now) {
  Table table({"SENSOR", "STATE", "SINCE", "ID", "MESSAGE"});
  for (const v1::RolloutTarget& target : targets.targets()) {
    table.AddRow({target.sensor_name(), Word(target.state()), AgeWord(target.changed_at(), now), target.sensor_id(),
                  target.message()});
  }
  return table.ToString();
}

std::string RenderRollout(const v1::Rollout& rollout, absl::Time now) {
  std::string text = absl::StrCat(
      FieldLine("rollout", rollout.id()), FieldLine("state", Word(rollout.state())),
      FieldLine("sensors", absl::StrCat(ProgressLine(rollout, false), ", ", rollout.pending(), " to come")),
      FieldLine("order", OrderWord(rollout.order())), FieldLine("selector", SelectorWord(rollout)),
      FieldLine("limits", LimitsWord(rollout.limits())));
  if (!rollout.halted_because().empty()) absl::StrAppend(&text, FieldLine("halted", rollout.halted_because()));
  if (!rollout.reason().empty()) absl::StrAppend(&text, FieldLine("reason", rollout.reason()));
  absl::StrAppend(&text,
                  FieldLine("created", absl::StrCat(AgeWord(rollout.created_at(), now), " by ", rollout.created_by())));
  if (rollout.has_ended_at()) absl::StrAppend(&text, FieldLine("ended", TimeWord(rollout.ended_at())));
  return text;
}

}  // namespace bulkhead::controlplane::cli
