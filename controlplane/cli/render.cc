// Tables of everything that can be listed.
#include "controlplane/cli/render.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

// "7/9": the kernel has 7, 9 was ordered.
std::string GenerationWord(const v1::Sensor& sensor) {
  return absl::StrCat(sensor.observed().receipt().generation(), "/", sensor.desired_generation());
}

std::string HealthWord(const v1::Sensor& sensor) {
  std::string word = Word(sensor.health());
  if (sensor.trust() == v1::TRUST_REVOKED) word += ",revoked";
  if (sensor.disabled()) word += ",disabled";
  return word;
}

std::string FileWord(const std::string& path, const std::string& sha256) {
  if (sha256.empty()) return path;
  return absl::StrCat(path, path.empty() ? "" : " ", "sha256:", absl::BytesToHexString(sha256));
}

std::string SubjectOf(const v1::EnforcementPolicy& policy) {
  if (policy.allow_list().learn()) return "learns";
  if (policy.has_allow_list()) return absl::StrCat("only ", policy.allow_list().binaries_size(), " listed");
  if (!policy.has_block_binary()) return "";
  const v1::BlockList& list = policy.block_binary().list();
  if (policy.block_binary().has_list()) {
    return absl::StrCat("list ", list.name(), " of ", list.size(), ", sha256:", absl::BytesToHexString(list.sha256()));
  }
  return FileWord(policy.block_binary().path(), policy.block_binary().sha256());
}

// How many, and each that the sensor listed.
std::string GroupLines(const v1::KillGroupResult& group) {
  std::string lines = absl::StrCat(FieldLine("killed", absl::StrCat(group.killed())),
                                   FieldLine("left alone", absl::StrCat(group.refused())),
                                   FieldLine("still there", absl::StrCat(group.still_there())));
  for (const v1::KillResult& process : group.processes()) {
    absl::StrAppend(&lines,
                    FieldLine("  process", absl::StrCat(Word(process.outcome()), ": ", process.found(),
                                                        process.message().empty() ? "" : ": ", process.message())));
  }
  const uint32_t listed = static_cast<uint32_t>(group.processes_size());
  const uint32_t all = group.killed() + group.refused() + group.still_there();
  if (all > listed)
    absl::StrAppend(&lines, FieldLine("  and", absl::StrCat(all - listed, " more that are not listed")));
  return lines;
}

// The outcome and the message of whichever result the command has.
struct ResultWords {
  std::string outcome;
  std::string message;
};
ResultWords ResultOf(const v1::Command& command) {
  if (command.has_guard_result()) return {Word(command.guard_result().outcome()), command.guard_result().message()};
  if (command.has_kill_group_result())
    return {Word(command.kill_group_result().outcome()), command.kill_group_result().message()};
  if (command.has_kill_result()) return {Word(command.kill_result().outcome()), command.kill_result().message()};
  return {};
}

std::string OrderedLine(const v1::Command& command) {
  if (command.has_lower_guard()) {
    return FieldLine("lower guard", absl::StrCat("for ", command.lower_guard().duration().seconds(), " s"));
  }
  if (command.has_set_guard_code()) return FieldLine("guard code", "replaced by a new one");
  const v1::KillGroup& group = command.kill_group();
  if (group.has_tree()) return FieldLine("kill tree", absl::StrCat(group.tree().pid()));
  if (group.has_file()) return FieldLine("kill file", FileWord(group.file().path(), group.file().sha256()));
  if (group.has_scope()) return FieldLine("kill scope", ScopeWord(group.scope()));
  return FieldLine("kill pid", absl::StrCat(command.kill_process().pid()));
}

}  // namespace

std::string RenderSensors(const v1::ListSensorsResponse& sensors, absl::Time now) {
  Table table(
      {"NAME", "HEALTH", "CONNECTED", "ORDERED", "ENFORCED", "GENERATION", "STATE", "HEARTBEAT", "ID", "LABELS"});
  for (const v1::Sensor& sensor : sensors.sensors()) {
    table.AddRow({sensor.name(), HealthWord(sensor), sensor.connected() ? "yes" : "no",
                  NetworkWord(sensor.is_contained(), sensor.is_isolated()),
                  NetworkWord(sensor.observed().contained(), sensor.observed().isolated()), GenerationWord(sensor),
                  Word(sensor.convergence()), AgeWord(sensor.last_heartbeat_at(), now), sensor.id(),
                  LabelsWord(sensor.labels())});
  }
  return table.ToString();
}

std::string RenderPolicies(const v1::ListEnforcementPoliciesResponse& policies, absl::Time now) {
  Table table({"NAME", "ACTION", "BINARY", "SCOPE", "AGE", "BY", "SENSOR", "ID"});
  for (const v1::EnforcementPolicy& policy : policies.policies()) {
    table.AddRow({policy.name(), Word(policy.action()), SubjectOf(policy), ScopeWord(policy.scope()),
                  AgeWord(policy.created_at(), now), policy.created_by(), policy.sensor_id(), policy.id()});
  }
  return table.ToString();
}

std::string RenderIsolationRules(const v1::ListIsolationRulesResponse& rules, absl::Time now) {
  Table table({"DIRECTION", "ADDRESS", "PORTS", "PROTOCOL", "DESCRIPTION", "AGE", "BY", "ID"});
  for (const v1::IsolationRule& rule : rules.rules()) {
    table.AddRow({Word(rule.direction()), rule.address().empty() ? "any" : rule.address(), PortsWord(rule),
                  ProtocolWord(rule.protocol()), rule.description(), AgeWord(rule.created_at(), now), rule.created_by(),
                  rule.id()});
  }
  return table.ToString();
}

std::string RenderTokens(const v1::ListEnrollmentTokensResponse& tokens, absl::Time now) {
  Table table(
      {"LABEL", "STATE", "USES", "EXPIRES", "BY", "LAST USED BY", "RE-ENROLLS", "ID", "NETWORKS", "SENSOR LABELS"});
  for (const v1::EnrollmentToken& token : tokens.tokens()) {
    table.AddRow({token.label(), Word(token.state()), absl::StrCat(token.uses(), "/", token.max_uses()),
                  AgeWord(token.expires_at(), now), token.created_by(), token.used_by_sensor_id(),
                  token.reenroll_sensor_id(), token.id(), absl::StrJoin(token.allowed_networks(), ","),
                  LabelsWord(token.sensor_labels())});
  }
  return table.ToString();
}

std::string RenderTokenUses(const v1::ListEnrollmentTokenUsesResponse& uses, absl::Time now) {
  Table table({"SENSOR", "USED", "ADDRESS", "ID"});
  for (const v1::EnrollmentTokenUse& use : uses.uses()) {
    table.AddRow({use.sensor_name(), AgeWord(use.used_at(), now), use.address(), use.sensor_id()});
  }
  return table.ToString();
}

std::string RenderAuditRecords(const v1::ListAuditRecordsResponse& records) {
  Table table({"SEQUENCE", "TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "REQUEST ID", "DETAILS"});
  for (const v1::AuditRecord& record : records.records()) {
    table.AddRow({absl::StrCat(record.sequence()), TimeWord(record.time()), record.actor(), record.action(),
                  record.target(), record.outcome(), record.request_id(), record.details_json()});
  }
  return table.ToString();
}

std::string RenderPolicy(const v1::EnforcementPolicy& policy) {
  return absl::StrCat(FieldLine("name", policy.name()), FieldLine("id", policy.id()),
                      FieldLine("sensor", policy.sensor_id()), FieldLine("template", Word(policy.template_())),
                      FieldLine("action", Word(policy.action())), FieldLine("binary", SubjectOf(policy)),
                      FieldLine("scope", policy.has_scope() ? ScopeWord(policy.scope()) : ""),
                      FieldLine("created", TimeWord(policy.created_at())), FieldLine("by", policy.created_by()),
                      FieldLine("etag", policy.etag()));
}

std::string RenderCommand(const v1::Command& command) {
  const ResultWords result = ResultOf(command);
  return absl::StrCat(FieldLine("command", command.id()), OrderedLine(command),
                      FieldLine("sensor", command.sensor_id()), FieldLine("state", Word(command.state())),
                      FieldLine("outcome", result.outcome), FieldLine("found", command.kill_result().found()),
                      command.has_kill_group_result() ? GroupLines(command.kill_group_result()) : "",
                      FieldLine("message", result.message),
                      FieldLine("ordered", absl::StrCat(TimeWord(command.created_at()), " by ", command.created_by())),
                      FieldLine("good until", TimeWord(command.not_after())),
                      FieldLine("finished", TimeWord(command.finished_at())));
}

std::string RenderWatchHeader() {
  return absl::StrFormat("%-24s %-20s %-17s %-19s %-19s %-11s %s\n", "TIME", "NAME", "HEALTH", "ORDERED", "ENFORCED",
                         "GENERATION", "STATE");
}

std::string RenderWatchLine(const v1::WatchSensorsResponse& change, absl::Time now) {
  const v1::Sensor& sensor = change.sensor();
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone());
  if (change.deleted()) return absl::StrFormat("%-24s %-20s deleted\n", time, Printable(sensor.name()));
  return absl::StrFormat("%-24s %-20s %-17s %-19s %-19s %-11s %s\n", time, Printable(sensor.name()), HealthWord(sensor),
                         NetworkWord(sensor.is_contained(), sensor.is_isolated()),
                         NetworkWord(sensor.observed().contained(), sensor.observed().isolated()),
                         GenerationWord(sensor), Word(sensor.convergence()));
}

}  // namespace bulkhead::controlplane::cli
