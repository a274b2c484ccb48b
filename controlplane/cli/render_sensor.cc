// Everything known about one sensor, on one screen.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/hex.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

// Enough of a digest to compare two by eye.
std::string DigestWord(const std::string& digest) {
  return digest.empty() ? "-" : ToHex(digest).substr(0, 16);
}

// Lines below a heading, or nothing at all when there are none.
std::string Section(absl::string_view heading, const std::vector<std::string>& lines) {
  std::string out;
  if (lines.empty()) return out;
  absl::StrAppend(&out, "\n", heading, "\n");
  for (const std::string& line : lines) absl::StrAppend(&out, "  ", Printable(line), "\n");
  return out;
}

std::string Identity(const v1::Sensor& sensor, absl::Time now) {
  const std::string stream = sensor.connected() ? "connected" : "not connected";
  return absl::StrCat(
      FieldLine("name", sensor.name()), FieldLine("id", sensor.id()), FieldLine("labels", LabelsWord(sensor.labels())),
      FieldLine("health", absl::StrCat(Word(sensor.health()), sensor.health_reasons().empty() ? "" : ": ",
                                       absl::StrJoin(sensor.health_reasons(), "; "))),
      FieldLine("trust",
                absl::StrCat(Word(sensor.trust()), ", certificate ends ", TimeWord(sensor.certificate_not_after()))),
      FieldLine("disabled", sensor.disabled() ? "yes (left out of fleet health)" : "no"),
      FieldLine("stream", absl::StrCat(stream, ", last heartbeat ", AgeWord(sensor.last_heartbeat_at(), now))),
      FieldLine("host", sensor.has_host()
                            ? absl::StrCat(sensor.host().hostname(), ", ", sensor.host().os(), ", kernel ",
                                           sensor.host().kernel_release(), ", sensor ", sensor.host().sensor_version())
                            : ""),
      FieldLine("scope", !sensor.has_host()              ? ""
                         : sensor.host().scope().empty() ? "the whole host"
                                                         : sensor.host().scope()),
      FieldLine("etag", sensor.etag()));
}

std::string DesiredBesideObserved(const v1::Sensor& sensor, absl::Time now) {
  const v1::ObservedState& observed = sensor.observed();
  Table table({"", "ORDERED", "IN THE KERNEL"});
  table.AddRow({"network", NetworkWord(sensor.is_contained(), sensor.is_isolated()),
                NetworkWord(observed.contained(), observed.isolated())});
  table.AddRow(
      {"generation", absl::StrCat(sensor.desired_generation()), absl::StrCat(observed.receipt().generation())});
  table.AddRow({"digest", DigestWord(sensor.desired_digest()), DigestWord(observed.receipt().digest())});
  table.AddRow({"policies", absl::StrCat(sensor.enforcement_policies_size()), absl::StrCat(observed.policies_size())});
  std::string out = absl::StrCat("\n", table.ToString(), FieldLine("state", Word(sensor.convergence())));
  const std::string problem = ConvergenceProblem(sensor, now);
  if (!problem.empty()) absl::StrAppend(&out, FieldLine("why", problem));
  return out;
}

bool Walled(const v1::ObservedState& observed) {
  return observed.contained() || observed.isolated() ||
         std::any_of(observed.policies().begin(), observed.policies().end(),
                     [](const v1::ObservedPolicy& policy) { return !policy.scope_cgroup().empty(); });
}

std::string Passed(const v1::Receipt& receipt) {
  int passed = 0;
  for (const v1::ProbeResult& probe : receipt.probes()) passed += probe.passed() ? 1 : 0;
  return absl::StrCat(passed, " of ", receipt.probes_size(), " probes passed");
}

std::string Evidence(const v1::Sensor& sensor, absl::Time now) {
  const v1::Receipt& receipt = sensor.observed().receipt();
  std::vector<std::string> lines;
  if (receipt.generation() != 0) {
    lines.push_back(absl::StrCat("enforced ", TimeWord(receipt.enforced_at()), ", applied in ", receipt.apply_micros(),
                                 " us, reported ", AgeWord(sensor.observed_at(), now)));
    lines.push_back(absl::StrCat("sockets destroyed ", receipt.sockets_destroyed(), ", drift repaired ",
                                 sensor.observed().drift_repairs(), " times"));
    for (const std::string& ended : receipt.ended()) lines.push_back(absl::StrCat("ended: ", ended));
  }
  if (!receipt.complete() && Walled(sensor.observed())) {
    lines.push_back("not complete: the wall is not proved yet");
  }
  for (const v1::ProbeResult& probe : receipt.probes()) {
    lines.push_back(absl::StrCat("probe ", probe.name(), probe.passed() ? " passed: " : " FAILED: ", probe.detail()));
  }
  for (const v1::AttachedProgram& program : receipt.programs()) {
    lines.push_back(absl::StrCat(program.name(), " (program ", program.program_id(), ", link ", program.link_id(),
                                 ") at ", program.target()));
  }
  return Section("receipt", lines);
}

std::string Policies(const v1::Sensor& sensor) {
  std::vector<std::string> lines;
  for (const v1::EnforcementPolicy& policy : sensor.enforcement_policies()) {
    std::string line = absl::StrCat(policy.name(), " ", policy.id(), ", ", Word(policy.action()));
    if (policy.has_scope()) absl::StrAppend(&line, ", of ", ScopeWord(policy.scope()));
    if (policy.has_expires_at()) {
      absl::StrAppend(&line, ", until ", TimeWord(policy.expires_at()), " then ", Word(policy.on_expiry()));
    }
    const v1::ObservedPolicy* seen = nullptr;
    for (const v1::ObservedPolicy& candidate : sensor.observed().policies()) {
      if (candidate.policy_id() == policy.id()) seen = &candidate;
    }
    if (seen == nullptr) {
      line += ": not in the kernel";
    } else if (!seen->refused().empty()) {
      absl::StrAppend(&line, ": REFUSED by the sensor: ", seen->refused());
    } else if (seen->expired()) {
      absl::StrAppend(&line, ": expired, the kernel does not enforce it any more, ", seen->hits(), " hits");
    } else if (policy.has_scope() && seen->scope_cgroup().empty()) {
      absl::StrAppend(&line, ": waits, ", seen->degraded(), ", ", seen->hits(), " hits");
    } else {
      if (policy.has_scope()) absl::StrAppend(&line, " at ", seen->scope_cgroup());
      absl::StrAppend(&line, ": ", absl::StrJoin(seen->mechanisms(), " + "), ", ", seen->hits(), " hits");
      if (seen->killed_running() != 0) absl::StrAppend(&line, ", killed ", seen->killed_running(), " that ran it");
      if (seen->respawns() != 0) absl::StrAppend(&line, ", ", seen->respawns(), " came back within 60 s of a stop");
      if (seen->running() != 0) {
        absl::StrAppend(&line, ", still run by ", seen->running(), " (pid ", absl::StrJoin(seen->running_pids(), " "),
                        ")");
      }
      if (policy.allow_list().learn()) absl::StrAppend(&line, ", learned ", seen->learned_size(), " files");
      if (!seen->degraded().empty()) absl::StrAppend(&line, ", weaker than ordered: ", seen->degraded());
    }
    lines.push_back(line);
  }
  return Section("policies", lines);
}

std::string Shadow(const v1::Sensor& sensor) {
  std::vector<std::string> lines;
  for (const v1::ObservedPolicy& policy : sensor.observed().policies()) {
    for (const v1::WouldCut& cut : policy.would_cut()) {
      const bool inbound = cut.direction() == v1::DIRECTION_INBOUND;
      const std::string port = cut.port() == 0 ? "" : absl::StrCat(" port ", cut.port());
      lines.push_back(absl::StrCat(ProtocolWord(cut.protocol()), inbound ? " from " : " to ", cut.address(), port, ", ",
                                   cut.count(),
                                   cut.comm().empty() ? " packets" : absl::StrCat(" calls by ", cut.comm())));
    }
  }
  return Section("would be cut (shadow), the most frequent first", lines);
}

std::string Strength(const v1::Sensor& sensor) {
  if (!sensor.has_capabilities()) return "";
  const v1::Capabilities& capabilities = sensor.capabilities();
  std::vector<std::string> lines = {absl::StrCat("contain ", Word(capabilities.containment_tier()), ", isolate ",
                                                 Word(capabilities.isolation_tier()), ", block-binary ",
                                                 Word(capabilities.block_binary_tier()), ", allow-list ",
                                                 Word(capabilities.allow_list_tier()))};
  for (const v1::Mechanism& mechanism : capabilities.mechanisms()) {
    if (!mechanism.available()) lines.push_back(absl::StrCat("missing ", mechanism.name(), ": ", mechanism.reason()));
  }
  return Section("tiers (none < partial < wall < full)", lines);
}

std::string Counters(const v1::ObservedState& observed) {
  std::vector<std::string> lines;
  for (const v1::Counter& counter : observed.counters()) {
    if (counter.value() != 0) lines.push_back(absl::StrFormat("%-32s %d", counter.name(), counter.value()));
  }
  return Section("counters (those that are not zero)", lines);
}

std::string Guard(const v1::Sensor& sensor, absl::Time now) {
  if (!sensor.observed().has_tamper_guard()) return "";
  const v1::TamperGuard& guard = sensor.observed().tamper_guard();
  std::string line = Word(guard.state());
  if (guard.state() == v1::GUARD_STATE_LOWERED) {
    absl::StrAppend(&line, " until ", TimeWord(guard.lowered_until()), " (", AgeWord(guard.lowered_until(), now), ")");
  }
  if (!guard.reason().empty()) absl::StrAppend(&line, ": ", guard.reason());
  if (guard.state() != v1::GUARD_STATE_OFF) {
    absl::StrAppend(&line, ", refused ", guard.refusals(),
                    guard.has_code() ? ", offline code set" : ", no offline code");
  }
  return Section("tamper guard", {line});
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

}  // namespace

std::string RenderSensor(const v1::Sensor& sensor, absl::Time now) {
  return absl::StrCat(Identity(sensor, now), DesiredBesideObserved(sensor, now), Evidence(sensor, now),
                      Policies(sensor), Shadow(sensor), Strength(sensor), Guard(sensor, now),
                      Section("degraded", Strings(sensor.observed().degraded())),
                      Section("critical", Strings(sensor.observed().critical())), Counters(sensor.observed()));
}

std::string ConvergenceProblem(const v1::Sensor& sensor, absl::Time now) {
  if (sensor.convergence() == v1::CONVERGENCE_STATE_SYNCED) return "";
  std::vector<std::string> parts;
  if (!sensor.convergence_reason().empty()) parts.push_back(sensor.convergence_reason());
  if (sensor.trust() == v1::TRUST_REVOKED) parts.push_back("the sensor is revoked");
  if (!sensor.connected()) {
    const bool never = ToTime(sensor.observed_at()) == absl::UnixEpoch();
    parts.push_back(never
                        ? "the sensor has never connected"
                        : absl::StrCat("the sensor is not connected (last heard of ",
                                       AgeWord(sensor.observed_at(), now), "); the order reaches it when it returns"));
  }
  return Printable(absl::StrJoin(parts, "; "));
}

std::string ReceiptLine(const v1::Receipt& receipt) {
  return absl::StrCat("generation ", receipt.generation(), ", ", receipt.programs_size(), " programs attached, ",
                      receipt.sockets_destroyed(), " sockets destroyed, kernel done in ", receipt.apply_micros(),
                      " us, ", Passed(receipt));
}

}  // namespace bulkhead::controlplane::cli
