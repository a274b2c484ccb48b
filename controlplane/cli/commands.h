// The nouns of bulkheadctl. Each function adds one with its verbs to `root`; the verb that is parsed stores itself in
// `action`.
#pragma once

#include "CLI/App.hpp"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

void AddSensorCommands(CLI::App& root, Action& action);
void AddPolicyCommands(CLI::App& root, Action& action);
void AddIsolationRuleCommands(CLI::App& root, Action& action);
void AddTokenCommands(CLI::App& root, Action& action);
void AddRoleCommands(CLI::App& root, Action& action);
void AddOperatorCommands(CLI::App& root, Action& action);
void AddTrustCommands(CLI::App& root, Action& action);
void AddAuditCommands(CLI::App& root, Action& action);
void AddEventCommands(CLI::App& root, Action& action);
void AddCommandCommands(CLI::App& root, Action& action);
void AddRolloutCommands(CLI::App& root, Action& action);
void AddKeyCommands(CLI::App& root, Action& action);
void AddProposalCommands(CLI::App& root, Action& action);

// The verbs of "sensor", one file for each kind: those that look, those that order the kernel, the one that
// kills, those that order the tamper guard, those that concern the record.
void AddSensorViewVerbs(CLI::App& sensor, Action& action);
void AddSensorOrderVerbs(CLI::App& sensor, Action& action);
void AddSensorKillVerb(CLI::App& sensor, Action& action);
void AddSensorGuardVerbs(CLI::App& sensor, Action& action);
void AddSensorRecordVerbs(CLI::App& sensor, Action& action);

// A verb whose flags live in `flags` and whose work is `run(session, *flags)`. `help` is one line; `more` says what it
// does not do, how to undo it, and gives an example.
template <typename Flags, typename Run>
CLI::App* AddVerb(CLI::App& noun, Action& action, const std::string& name, const std::string& help,
                  const std::string& more, std::shared_ptr<Flags> flags, Run run) {
  CLI::App* verb = noun.add_subcommand(name, help);
  verb->footer(more);
  verb->callback([&action, flags, run] { action = [flags, run](Session& session) { return run(session, *flags); }; });
  return verb;
}

}  // namespace bulkhead::controlplane::cli
