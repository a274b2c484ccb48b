// Every error that an operator, a sensor or a script can see: one function, one text, one code, one reason.
#include "controlplane/domain/errors.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kLongestQuote = 128;

// What a caller sent may hold anything; quoted, it cannot forge a line in a log or a terminal.
std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kLongestQuote;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kLongestQuote)), cut ? "…\"" : "\"");
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::Status Make(absl::StatusCode code, absl::string_view reason, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

std::string PayloadOf(const absl::Status& status, absl::string_view url) {
  const auto payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status AtField(absl::Status status, absl::string_view field) {
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  return PayloadOf(status, kReasonPayload);
}

std::string FieldOf(const absl::Status& status) {
  return PayloadOf(status, kFieldPayload);
}

absl::Status InvalidField(absl::string_view field, absl::string_view problem) {
  return AtField(Make(absl::StatusCode::kInvalidArgument, "INVALID_FIELD", absl::StrCat(field, ": ", problem)), field);
}

absl::Status PidOne(absl::string_view field) {
  return AtField(Make(absl::StatusCode::kInvalidArgument, "PID_ONE",
                      absl::StrCat(field, ": pid 1 is the host's init and is never killed; name another process")),
                 field);
}

absl::Status DangerousBinary(absl::string_view field, absl::string_view path, absl::string_view what_it_is) {
  return AtField(Make(absl::StatusCode::kInvalidArgument, "DANGEROUS_BINARY",
                      absl::StrCat(field, ": ", Quoted(path), " is ", what_it_is,
                                   "; without it the host may not work or boot. Set force to block it all the same")),
                 field);
}

absl::Status SensorBinary(absl::string_view field, absl::string_view path) {
  return AtField(
      Make(absl::StatusCode::kInvalidArgument, "SENSOR_BINARY",
           absl::StrCat(field, ": ", Quoted(path),
                        " is Bulkhead's own sensor, which is never blocked; revoke or delete the sensor instead")),
      field);
}

absl::Status SensorNotFound(absl::string_view reference) {
  return Make(absl::StatusCode::kNotFound, "SENSOR_NOT_FOUND",
              absl::StrCat("there is no sensor ", Quoted(reference), "; list the sensors for names and ids"));
}

absl::Status PolicyNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "POLICY_NOT_FOUND",
              absl::StrCat("there is no enforcement policy ", Quoted(id), "; it may have been deleted already"));
}

absl::Status IsolationRuleNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "ISOLATION_RULE_NOT_FOUND",
              absl::StrCat("there is no isolation rule ", Quoted(id), "; it may have been deleted already"));
}

absl::Status CommandNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "COMMAND_NOT_FOUND", absl::StrCat("there is no command ", Quoted(id)));
}

absl::Status TokenNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "TOKEN_NOT_FOUND",
              absl::StrCat("there is no enrollment token ", Quoted(id)));
}

absl::Status RolloutNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "ROLLOUT_NOT_FOUND",
              absl::StrCat("there is no rollout ", Quoted(id), "; list the rollouts for their ids"));
}

absl::Status SensorNameTaken(absl::string_view name) {
  return Make(absl::StatusCode::kAlreadyExists, "SENSOR_NAME_TAKEN",
              absl::StrCat("a sensor named ", Quoted(name),
                           " exists; choose another name, or make a token that re-enrolls that sensor"));
}

absl::Status DuplicateIsolationRule() {
  return Make(absl::StatusCode::kAlreadyExists, "ISOLATION_RULE_EXISTS",
              "an isolation rule with the same address, ports, protocol and direction exists; nothing was added");
}

absl::Status RequestIdReused(absl::string_view request_id) {
  return Make(
      absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
      absl::StrCat("request_id ", Quoted(request_id), " was used before for a different request; use a new one"));
}

absl::Status OperatorRoleDiffers(absl::string_view name, absl::string_view role) {
  return Make(
      absl::StatusCode::kAlreadyExists, "OPERATOR_ROLE_DIFFERS",
      absl::StrCat("operator ", Quoted(name), " exists with the role ", role, "; use that role or another name"));
}

absl::Status SensorRevoked(absl::string_view name) {
  return Make(
      absl::StatusCode::kFailedPrecondition, "SENSOR_REVOKED",
      absl::StrCat("sensor ", Quoted(name), " is revoked and takes no orders; re-enroll it with a token made for it"));
}

absl::Status SensorCritical(absl::string_view name, const std::vector<std::string>& reasons) {
  return Make(absl::StatusCode::kFailedPrecondition, "SENSOR_CRITICAL",
              absl::StrCat("sensor ", Quoted(name),
                           " is critical and its enforcement cannot be trusted: ", absl::StrJoin(reasons, "; "),
                           ". Repair it on the host, or cut the host off by other means"));
}

absl::Status MechanismMissing(absl::string_view sensor, absl::string_view layer, bool partial) {
  return Make(absl::StatusCode::kFailedPrecondition, "MECHANISM_MISSING",
              absl::StrCat("the host of sensor ", Quoted(sensor),
                           partial ? " can enforce only a weaker form of " : " cannot enforce ", layer,
                           partial ? "; set allow_degraded to accept it. Its capabilities say which layer is missing"
                                   : "; its capabilities say which layer is missing and why"));
}

absl::Status TokenAlreadyUsed(absl::string_view id) {
  return Make(absl::StatusCode::kFailedPrecondition, "TOKEN_USED",
              absl::StrCat("enrollment token ", Quoted(id), " was used; revoke the sensor that used it instead"));
}

absl::Status NoSensorMatches() {
  return Make(absl::StatusCode::kFailedPrecondition, "NO_SENSOR_MATCHES",
              "no sensor that is trusted and not disabled matches; list the sensors with this selector");
}

absl::Status RolloutEnded(absl::string_view id, absl::string_view how) {
  return Make(absl::StatusCode::kFailedPrecondition, "ROLLOUT_ENDED",
              absl::StrCat("rollout ", Quoted(id), " is ", how, " already; create another"));
}

absl::Status RolloutNotHalted(absl::string_view id) {
  return Make(absl::StatusCode::kFailedPrecondition, "ROLLOUT_NOT_HALTED",
              absl::StrCat("rollout ", Quoted(id), " runs; only a halted one is resumed"));
}

absl::Status SensorCloned(absl::string_view name, absl::string_view why) {
  return Make(absl::StatusCode::kFailedPrecondition, "SENSOR_CLONED",
              absl::StrCat("two hosts seem to share the identity of sensor ", Quoted(name), ": ", why,
                           ". Revoke it and enroll both again, or take the suspicion back (sensor clear-clone); a "
                           "policy with allow_degraded is given to whoever shows the identity"));
}

absl::Status RoleNotFound(absl::string_view name) {
  return Make(absl::StatusCode::kNotFound, "ROLE_NOT_FOUND", absl::StrCat("there is no role ", Quoted(name)));
}

absl::Status OperatorNotFound(absl::string_view name) {
  return Make(absl::StatusCode::kNotFound, "OPERATOR_NOT_FOUND", absl::StrCat("there is no operator ", Quoted(name)));
}

absl::Status RoleNameTaken(absl::string_view name) {
  return Make(absl::StatusCode::kAlreadyExists, "ROLE_NAME_TAKEN",
              absl::StrCat("there is a role ", Quoted(name), " already; delete it or choose another name"));
}

absl::Status RoleInUse(absl::string_view name) {
  return Make(absl::StatusCode::kFailedPrecondition, "ROLE_IN_USE",
              absl::StrCat("some operator has the role ", Quoted(name), "; give them another first"));
}

absl::Status TooManyRoles(int limit) {
  return Make(absl::StatusCode::kResourceExhausted, "TOO_MANY_ROLES",
              absl::StrCat("there are ", limit, " roles, which is the limit; delete some"));
}

absl::Status LastAdmin(absl::string_view name) {
  return Make(absl::StatusCode::kFailedPrecondition, "LAST_ADMIN",
              absl::StrCat("operator ", Quoted(name),
                           " is the only admin who is not disabled; make another first (issue-operator)"));
}

absl::Status RoleBeyondCaller(absl::string_view actor, absl::string_view permission) {
  return Make(absl::StatusCode::kPermissionDenied, "ROLE_BEYOND_CALLER",
              absl::StrCat("the role has the permission ", permission, ", which ", Quoted(actor),
                           " does not have and so cannot give"));
}

absl::Status RotationRunning() {
  return Make(absl::StatusCode::kFailedPrecondition, "CA_ROTATION_RUNNING",
              "a rotation of the certificate authority is under way; finish it first");
}

absl::Status NoRotation() {
  return Make(absl::StatusCode::kFailedPrecondition, "CA_NO_ROTATION",
              "no rotation of the certificate authority is under way");
}

absl::Status RotationUnconfirmed(const std::vector<std::string>& sensors, const std::vector<std::string>& replicas) {
  const auto some = [](const std::vector<std::string>& names) {
    constexpr size_t kShown = 10;
    std::vector<std::string> shown(names.begin(), names.begin() + std::min(names.size(), kShown));
    if (names.size() > kShown) shown.push_back("…");
    return absl::StrJoin(shown, ", ");
  };
  std::string left;
  if (!sensors.empty()) left = absl::StrCat(sensors.size(), " sensors have not confirmed it (", some(sensors), ")");
  if (!replicas.empty()) {
    absl::StrAppend(&left, left.empty() ? "" : " and ", replicas.size(), " replicas do not issue from it (",
                    some(replicas), ")");
  }
  return Make(absl::StatusCode::kFailedPrecondition, "CA_ROTATION_UNCONFIRMED",
              absl::StrCat("the new root cannot stand alone yet: ", left,
                           "; wait, revoke what is gone for good, or force it, after which these sensors must enroll "
                           "again"));
}

absl::Status SignatureRequired(absl::string_view kind, uint32_t count) {
  return Make(absl::StatusCode::kFailedPrecondition, "SIGNATURE_REQUIRED",
              absl::StrCat("orders of kind ", kind, " need the signatures of ", count,
                           count == 1 ? " operator" : " operators", "; give it with --sign-key"));
}

absl::Status OrderExpired(absl::Time expired_at) {
  return Make(absl::StatusCode::kFailedPrecondition, "ORDER_EXPIRED",
              absl::StrCat("what was signed expired at ", TimeText(expired_at), "; sign the order again"));
}

absl::Status ProposalEnded(absl::string_view id, absl::string_view how) {
  return Make(absl::StatusCode::kFailedPrecondition, "PROPOSAL_ENDED",
              absl::StrCat("proposal ", id, " is ", how, " and takes no more signatures"));
}

absl::Status SameOperator(absl::string_view name) {
  return Make(absl::StatusCode::kFailedPrecondition, "SAME_OPERATOR",
              absl::StrCat(name, " has signed this already; another operator must, with a key of their own"));
}

absl::Status ProposalNotFound(absl::string_view id) {
  return Make(absl::StatusCode::kNotFound, "PROPOSAL_NOT_FOUND", absl::StrCat("there is no proposal ", Quoted(id)));
}

absl::Status OrderAlreadySubmitted() {
  return Make(absl::StatusCode::kAlreadyExists, "ORDER_ALREADY_SUBMITTED",
              "this statement was submitted before; see its proposal, or sign the order again");
}

absl::Status StaleEtag(absl::string_view what, absl::string_view name) {
  return Make(
      absl::StatusCode::kAborted, "STALE_ETAG",
      absl::StrCat(what, " ", Quoted(name), " has changed since you read it; read it again and repeat the order"));
}

absl::Status ResumeTokenExpired(absl::string_view why) {
  return AtField(Make(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
                      absl::StrCat("resume_token is of no use any more: ", why,
                                   "; watch without it, and forget what is not sent before the first bookmark")),
                 "resume_token");
}

absl::Status StreamSuperseded() {
  return Make(absl::StatusCode::kAborted, "STREAM_SUPERSEDED",
              "a newer stream of this sensor took over; what this one says is not stored any more");
}

bool IsStreamSuperseded(const absl::Status& status) {
  return ReasonOf(status) == "STREAM_SUPERSEDED";
}

absl::Status ReportMissing() {
  return Make(absl::StatusCode::kDataLoss, "REPORT_MISSING",
              "the database lost the report that this heartbeat builds on; report everything again");
}

bool IsReportMissing(const absl::Status& status) {
  return ReasonOf(status) == "REPORT_MISSING";
}

absl::Status PeerTooFast(double calls_per_second) {
  return Make(absl::StatusCode::kResourceExhausted, "PEER_RATE_LIMIT",
              absl::StrCat("this identity makes more than ", calls_per_second,
                           " calls a second, which is the limit; wait and repeat the call"));
}

absl::Status PeerTooManyCalls(int calls_at_once) {
  return Make(absl::StatusCode::kResourceExhausted, "PEER_CALL_LIMIT",
              absl::StrCat("this identity has ", calls_at_once,
                           " calls and watches open, which is the limit; end some and repeat the call"));
}

absl::Status TooManyScopedPolicies(absl::string_view sensor, int64_t limit) {
  return Make(absl::StatusCode::kResourceExhausted, "TOO_MANY_SCOPED_POLICIES",
              absl::StrCat("sensor \"", sensor, "\" has ", limit,
                           " containments and isolations with a scope, which is the limit; lift some, or order one for "
                           "a slice or cgroup that holds several"));
}

absl::Status TooManyBlockedBinaries(absl::string_view sensor, size_t wanted, size_t limit) {
  return Make(absl::StatusCode::kResourceExhausted, "TOO_MANY_BLOCKED_BINARIES",
              absl::StrCat("the block-lists of sensor \"", sensor, "\" would name ", wanted, " binaries; at most ",
                           limit, " are blocked on one host. Lift another list, or order a shorter one"));
}

absl::Status TooManyIsolationRules(int64_t limit) {
  return Make(
      absl::StatusCode::kResourceExhausted, "TOO_MANY_ISOLATION_RULES",
      absl::StrCat("there are ", limit, " isolation rules, which is the limit; delete some or use wider prefixes"));
}

absl::Status TokenUnknown() {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_UNKNOWN",
              "no enrollment token has this secret; copy it again or ask an admin for a new one");
}

absl::Status TokenUsed() {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_USED",
              "this enrollment token was used as often as it may be; ask an admin for a new one");
}

absl::Status TokenExpired(absl::Time expired_at) {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED",
              absl::StrCat("this enrollment token expired at ", TimeText(expired_at), "; ask an admin for a new one"));
}

absl::Status TokenRevoked() {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_REVOKED",
              "this enrollment token was revoked; ask an admin for a new one");
}

absl::Status TokenNetwork(absl::string_view address) {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_NETWORK",
              absl::StrCat("this enrollment token is not for hosts that come from ",
                           address.empty() ? "an unknown address" : address,
                           "; ask an admin for one that is. Behind a load balancer the address is the balancer's"));
}

absl::Status CertificateRequired() {
  return Make(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REQUIRED",
              "this call needs a client certificate issued by this control plane; none was presented");
}

absl::Status CertificateInvalid(absl::string_view why) {
  return Make(absl::StatusCode::kUnauthenticated, "CERTIFICATE_INVALID",
              absl::StrCat("the client certificate is not accepted: ", why));
}

absl::Status CertificateExpired(absl::Time expired_at) {
  return Make(
      absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED",
      absl::StrCat("the client certificate expired at ", TimeText(expired_at), "; enroll again or get a new one"));
}

absl::Status CertificateSuperseded() {
  return Make(
      absl::StatusCode::kUnauthenticated, "CERTIFICATE_SUPERSEDED",
      "the client certificate was renewed and the one that followed it was used; show that one, or enroll again");
}

absl::Status SensorIdentityRevoked(absl::string_view sensor_id) {
  return Make(
      absl::StatusCode::kUnauthenticated, "SENSOR_REVOKED",
      absl::StrCat("the identity of sensor ", sensor_id, " was revoked; re-enroll it with a token made for it"));
}

absl::Status SensorIdentityDeleted(absl::string_view sensor_id) {
  return Make(absl::StatusCode::kUnauthenticated, "SENSOR_DELETED",
              absl::StrCat("sensor ", sensor_id, " was deleted; enroll the host as a new sensor"));
}

absl::Status OperatorUnknown(absl::string_view name) {
  return Make(absl::StatusCode::kUnauthenticated, "OPERATOR_UNKNOWN",
              absl::StrCat("the certificate of operator ", Quoted(name),
                           " is not registered here; ask an admin for a new one"));
}

absl::Status OperatorDisabled(absl::string_view name) {
  return Make(absl::StatusCode::kUnauthenticated, "OPERATOR_DISABLED",
              absl::StrCat("operator ", Quoted(name), " is disabled; ask an admin"));
}

absl::Status PermissionDenied(absl::string_view actor, absl::string_view role, absl::string_view permission) {
  return Make(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
              absl::StrCat("this needs the permission ", permission, ", which ", Quoted(actor), " with the role ", role,
                           " does not have; ask an admin"));
}

}  // namespace bulkhead::controlplane
