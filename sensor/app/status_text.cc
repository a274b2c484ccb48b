// What a sensor enforces, as text for a person on the host.
#include "sensor/app/status_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hex.h"

namespace bulkhead::sensor {

namespace {

std::string GuardText(const ObservedGuard& guard) {
  const std::string code = guard.has_code ? "; an offline code is set" : "";
  switch (guard.state) {
    case GuardState::kUp:
      return absl::StrCat("up, refused ", guard.refusals, code);
    case GuardState::kLowered:
      return absl::StrCat("down until ", absl::FormatTime(absl::RFC3339_sec, guard.lowered_until, absl::UTCTimeZone()),
                          code);
    case GuardState::kUnavailable:
      return absl::StrCat("none: ", guard.reason);
    case GuardState::kOff:
      break;
  }
  return absl::StrCat("off", guard.reason.empty() ? "" : ": ", guard.reason);
}

}  // namespace

std::string StatusText(const ObservedState& observed, absl::string_view connection, absl::Time now) {
  const Receipt& receipt = observed.receipt;
  const std::string digest(receipt.digest.begin(), receipt.digest.end());
  const auto time = [](absl::Time value) { return absl::FormatTime(absl::RFC3339_sec, value, absl::UTCTimeZone()); };
  std::string out = absl::StrCat("as of:        ", time(now), "\n");
  absl::StrAppend(&out, "connection:   ", connection, "\n");
  absl::StrAppend(&out, "contained:    ", observed.contained ? "yes" : "no", "\n");
  absl::StrAppend(&out, "isolated:     ", observed.isolated ? "yes" : "no", "\n");
  if (receipt.generation == 0) {
    absl::StrAppend(&out, "generation:   none was ever ordered\n");
  } else {
    absl::StrAppend(&out, "generation:   ", receipt.generation, " since ", time(receipt.enforced_at), "\n");
    absl::StrAppend(&out, "digest:       ", ToHex(digest), "\n");
  }
  absl::StrAppend(&out, "programs:     ", receipt.programs.size(), " attached\n");
  absl::StrAppend(&out, "drift:        repaired ", observed.drift_repairs, " times\n");
  for (const ActiveProbe& probe : receipt.probes) {
    absl::StrAppend(&out, "probe:        ", probe.name, probe.passed ? " passed: " : " did not pass: ", probe.detail,
                    "\n");
  }
  if (!receipt.complete && (observed.contained || observed.isolated || observed.scoped_wall)) {
    absl::StrAppend(&out, "probe:        the wall is not proved yet\n");
  }
  for (const ObservedPolicy& policy : observed.policies) {
    absl::StrAppend(&out, "policy:       ", policy.policy_id, policy.scope_cgroup.empty() ? "" : " at ",
                    policy.scope_cgroup, " carried by ", absl::StrJoin(policy.mechanisms, ", "), "; stopped ",
                    policy.hits, policy.expired ? "; expired" : "",
                    policy.degraded.empty() ? "" : "; degraded: ", policy.degraded, "\n");
  }
  absl::StrAppend(&out, "tamper guard: ", GuardText(observed.guard), "\n");
  for (const std::string& text : observed.critical) absl::StrAppend(&out, "CRITICAL:     ", text, "\n");
  for (const std::string& text : observed.degraded) absl::StrAppend(&out, "degraded:     ", text, "\n");
  return out;
}

}  // namespace bulkhead::sensor
