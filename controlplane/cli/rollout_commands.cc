// bulkheadctl rollout: one order for many sensors, by label selector, that stops when it does harm.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/rollout_follow.h"
#include "controlplane/cli/rollout_orders.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;

struct StartFlags : OrderFlags {
  std::string selector;
  bool all = false;
  uint32_t max_in_flight = 0;
  uint32_t max_per_hour = 0;
  uint32_t max_failures = 0;
  absl::Duration enforce_within;  // zero: the control plane's default
  bool dry_run = false;
  OrderBuilder build;
};

struct IdFlags : OrderFlags {
  std::string id;
  std::string state;  // of the targets to list
};

// Follows the rollout that stands in `rollout`, brings it up to date, and says how the command ends.
absl::Status Follow(Session& session, const OrderFlags& flags, v1::Rollout& rollout) {
  RolloutProgress progress(session.terminal());
  ASSIGN_OR_RETURN(rollout, FollowRollout(session, rollout.id(), /*stop_at_halt=*/true, flags.timeout,
                                          [&](const v1::Rollout& now) { progress.Show(now); }));
  return OutcomeOf(rollout);
}

// Prints the response once it is known how the rollout ended, if that is waited for. A failed wait prints it too: the
// id is needed then.
absl::Status Report(Session& session, const OrderFlags& flags, const google::protobuf::Message& response,
                    v1::Rollout& rollout) {
  absl::Status outcome;
  if (flags.wait) {
    session.terminal().err << "rollout " << rollout.id() << "\n";
    outcome = Follow(session, flags, rollout);
  }
  RETURN_IF_ERROR(session.Print(response, RenderRollout(rollout, session.now())));
  return outcome;
}

absl::Status Start(Session& session, const StartFlags& flags) {
  if (flags.selector.empty() && !flags.all) return UsageError("choose the sensors: --selector SELECTOR, or --all");
  v1::CreateRolloutRequest request;
  request.set_label_selector(flags.selector);
  request.set_all_sensors(flags.all);
  ASSIGN_OR_RETURN(*request.mutable_order(), flags.build());
  request.mutable_limits()->set_max_in_flight(flags.max_in_flight);
  request.mutable_limits()->set_max_per_hour(flags.max_per_hour);
  request.mutable_limits()->set_max_failures(flags.max_failures);
  // Rounded up: less than a second must not become 0, which means the default.
  const absl::Duration within = absl::Ceil(std::min(flags.enforce_within, absl::Hours(1000)), absl::Seconds(1));
  request.mutable_limits()->set_enforce_within_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(within)));
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  request.set_validate_only(flags.dry_run);
  ASSIGN_OR_RETURN(v1::CreateRolloutResponse response,
                   session.Call(&v1::RolloutService::Stub::CreateRollout, request, flags.request_id));
  if (flags.dry_run) {
    return session.Print(response, absl::StrCat("nothing was ordered: this would reach ", response.rollout().pending(),
                                                " sensors\n", RenderRollout(response.rollout(), session.now())));
  }
  return Report(session, flags, response, *response.mutable_rollout());
}

absl::Status Get(Session& session, const IdFlags& flags) {
  v1::GetRolloutRequest request;
  request.set_id(flags.id);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::RolloutService::Stub::GetRollout, request));
  return session.Print(response, RenderRollout(response.rollout(), session.now()));
}

absl::Status List(Session& session, const IdFlags&) {
  v1::ListRolloutsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListRolloutsRequest request;
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::RolloutService::Stub::ListRollouts, request);
      },
      [&](const v1::ListRolloutsResponse& page) { all.mutable_rollouts()->MergeFrom(page.rollouts()); }));
  return session.Print(all, RenderRollouts(all, session.now()));
}

v1::RolloutTargetState StateOf(const std::string& word) {
  for (const auto state : {v1::ROLLOUT_TARGET_STATE_PENDING, v1::ROLLOUT_TARGET_STATE_ORDERED,
                           v1::ROLLOUT_TARGET_STATE_ENFORCED, v1::ROLLOUT_TARGET_STATE_FAILED}) {
    if (Word(state) == word) return state;
  }
  return v1::ROLLOUT_TARGET_STATE_UNSPECIFIED;
}

absl::Status ListTargets(Session& session, const IdFlags& flags) {
  v1::ListRolloutTargetsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListRolloutTargetsRequest request;
        request.set_id(flags.id);
        request.set_state(StateOf(flags.state));
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::RolloutService::Stub::ListRolloutTargets, request);
      },
      [&](const v1::ListRolloutTargetsResponse& page) { all.mutable_targets()->MergeFrom(page.targets()); }));
  return session.Print(all, RenderRolloutTargets(all, session.now()));
}

// With -o json or yaml one object for each change; otherwise the progress, then the rollout.
absl::Status Watch(Session& session, const IdFlags& flags) {
  const bool table = session.format == OutputFormat::kTable;
  absl::Status printed;
  v1::Rollout last;
  {
    RolloutProgress progress(session.terminal());
    ASSIGN_OR_RETURN(last, FollowRollout(session, flags.id, /*stop_at_halt=*/false, absl::InfiniteDuration(),
                                         [&](const v1::Rollout& now) {
                                           if (table) return progress.Show(now);
                                           if (!printed.ok()) return;
                                           v1::WatchRolloutResponse change;
                                           *change.mutable_rollout() = now;
                                           printed = session.PrintChange(change);
                                         }));
  }
  RETURN_IF_ERROR(printed);
  if (table) session.terminal().out << RenderRollout(last, session.now());
  return OutcomeOf(last);
}

absl::Status Cancel(Session& session, const IdFlags& flags) {
  v1::CancelRolloutRequest request;
  request.set_id(flags.id);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::RolloutService::Stub::CancelRollout, request, flags.request_id));
  return session.Print(response, RenderRollout(response.rollout(), session.now()));
}

absl::Status Resume(Session& session, const IdFlags& flags) {
  v1::ResumeRolloutRequest request;
  request.set_id(flags.id);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(v1::ResumeRolloutResponse response,
                   session.Call(&v1::RolloutService::Stub::ResumeRollout, request, flags.request_id));
  return Report(session, flags, response, *response.mutable_rollout());
}

void AddRolloutWait(CLI::App& verb, OrderFlags& flags) {
  flags.timeout = absl::InfiniteDuration();
  verb.add_flag("--wait", flags.wait,
                "Return once the rollout is over: 0 every sensor enforces it, 3 done but some failed, 4 halted, 5 "
                "cancelled");
  AddDuration(verb, "--timeout", flags.timeout, "How long --wait waits (default: until it is over)");
}

void AddReason(CLI::App& verb, OrderFlags& flags) {
  verb.add_option("--reason", flags.reason, "Why, for the audit log")->type_name("TEXT");
}

void AddStart(CLI::App& rollout, Action& action, const std::string& name, const std::string& help,
              const std::string& more, OrderBuilder (*add_terms)(CLI::App&)) {
  const auto flags = std::make_shared<StartFlags>();
  CLI::App* verb = AddVerb(rollout, action, name, help, more, flags, Start);
  CLI::Option* all = verb->add_flag("--all", flags->all, "Every sensor that is trusted and not disabled");
  verb->add_option("--selector", flags->selector,
                   "Those of them whose labels match: key=value, key!=value, key, !key, separated by commas")
      ->type_name("SELECTOR")
      ->excludes(all);
  verb->add_option("--max-in-flight", flags->max_in_flight,
                   "How many may be ordered and not yet enforce it (default 50)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verb->add_option("--max-per-hour", flags->max_per_hour, "How many may be ordered in an hour (default: no limit)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verb->add_option("--max-failures", flags->max_failures, "Halt once so many have failed (default 1)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  AddDuration(*verb, "--enforce-within", flags->enforce_within,
              "A sensor that does not enforce it after so long has failed (default 60s)");
  verb->add_flag("--dry-run", flags->dry_run, "Order nothing: check the order and count the sensors");
  AddReason(*verb, *flags);
  AddRequestIdFlag(*verb, *flags);
  AddRolloutWait(*verb, *flags);
  flags->build = add_terms(*verb);
}

void AddStartVerbs(CLI::App& rollout, Action& action) {
  AddStart(
      rollout, action, "contain", "Contain many sensors",
      "Does: what sensor contain does, to each in turn. The sensors are chosen once, now.\n"
      "Stops by itself when a sensor refuses, is late, or is worse for it; those ordered so far stay contained.\n"
      "Undo: bulkheadctl rollout release with the same selector\n"
      "Example: bulkheadctl rollout contain --selector env=prod,role=web --max-in-flight 20 --wait --reason INC-42",
      AddContainTerms);
  AddStart(rollout, action, "isolate", "Isolate many sensors",
           "Does: what sensor isolate does, to each in turn. SSH is cut too unless an isolation rule allows it.\n"
           "Undo: bulkheadctl rollout release with the same selector\n"
           "Example: bulkheadctl rollout isolate --selector rack=7 --wait --reason INC-42",
           AddIsolateTerms);
  AddStart(rollout, action, "release", "Release many sensors",
           "Does: what sensor release does, to each in turn; one that has nothing to lift is enforced at once.\n"
           "Example: bulkheadctl rollout release --selector env=prod --max-in-flight 200 --wait",
           AddReleaseTerms);
  AddStart(rollout, action, "block-binary", "Stop one binary from being executed on many hosts",
           "Does: what sensor block-binary does, to each in turn.\n"
           "Undo: bulkheadctl policy delete, for each id of bulkheadctl policy list\n"
           "Example: bulkheadctl rollout block-binary --selector env=prod --sha256 HEX --max-failures 3 --wait",
           AddBlockBinaryTerms);
}

CLI::App* AddIdVerb(CLI::App& rollout, Action& action, const std::string& name, const std::string& help,
                    const std::string& more, const std::shared_ptr<IdFlags>& flags,
                    absl::Status (*run)(Session&, const IdFlags&)) {
  CLI::App* verb = AddVerb(rollout, action, name, help, more, flags, run);
  verb->add_option("id", flags->id, "Id of the rollout")->required()->type_name("ROLLOUT");
  return verb;
}

}  // namespace

void AddRolloutCommands(CLI::App& root, Action& action) {
  CLI::App* rollout = root.add_subcommand("rollout", "One order for many sensors, that stops when it does harm");
  rollout->require_subcommand(1);
  AddStartVerbs(*rollout, action);
  AddIdVerb(*rollout, action, "get", "Show one rollout with its counts", "Example: bulkheadctl rollout get ID",
            std::make_shared<IdFlags>(), Get);
  AddVerb(*rollout, action, "list", "List rollouts, newest first", "Example: bulkheadctl rollout list",
          std::make_shared<IdFlags>(), List);
  const auto targets_flags = std::make_shared<IdFlags>();
  AddIdVerb(*rollout, action, "targets", "List the sensors of a rollout with what became of each",
            "Example: bulkheadctl rollout targets ID --state failed", targets_flags, ListTargets)
      ->add_option("--state", targets_flags->state, "Only those in this state")
      ->type_name("pending|ordered|enforced|failed")
      ->check(CLI::IsMember({"pending", "ordered", "enforced", "failed"}));
  AddIdVerb(*rollout, action, "watch", "Follow a rollout until it is done or cancelled, through every halt",
            "With -o json each change is one line. Exit codes as with --wait.\nExample: bulkheadctl rollout watch ID",
            std::make_shared<IdFlags>(), Watch);
  const auto cancel_flags = std::make_shared<IdFlags>();
  CLI::App* cancel =
      AddIdVerb(*rollout, action, "cancel", "Give no further orders",
                "Does not: lift the orders that were given; see bulkheadctl rollout release.\n"
                "Undo: none; start another.\nExample: bulkheadctl rollout cancel ID --reason \"wrong rack\"",
                cancel_flags, Cancel);
  AddReason(*cancel, *cancel_flags);
  AddRequestIdFlag(*cancel, *cancel_flags);
  const auto resume_flags = std::make_shared<IdFlags>();
  CLI::App* resume =
      AddIdVerb(*rollout, action, "resume", "Go on after a halt; failures so far are forgiven",
                "Does not: order the sensors that failed again.\n"
                "Example: bulkheadctl rollout resume ID --wait --reason \"those three are being reinstalled\"",
                resume_flags, Resume);
  AddReason(*resume, *resume_flags);
  AddRequestIdFlag(*resume, *resume_flags);
  AddRolloutWait(*resume, *resume_flags);
}

}  // namespace bulkhead::controlplane::cli
