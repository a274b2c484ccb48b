// Every error that an operator, a sensor or a script can see: one function, one text, one code, one reason.
//
// Each status carries the payload kReasonPayload (a stable word in UPPER_SNAKE for programs), and, when one field of
// the request is to blame, kFieldPayload (its path in the request, such as "rule.ports.first"). The API turns them into
// google.rpc.ErrorInfo and BadRequest. Pure functions; thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr char kReasonPayload[] = "bulkhead/reason";
inline constexpr char kFieldPayload[] = "bulkhead/field";

// The payloads of a status; empty when it has none.
std::string ReasonOf(const absl::Status& status);
std::string FieldOf(const absl::Status& status);
// The same status, blamed on this field.
absl::Status AtField(absl::Status status, absl::string_view field);

// INVALID_ARGUMENT: fix the request. `problem` says what is wrong and what would be right.
absl::Status InvalidField(absl::string_view field, absl::string_view problem);
absl::Status PidOne(absl::string_view field);
absl::Status DangerousBinary(absl::string_view field, absl::string_view path, absl::string_view what_it_is);
absl::Status SensorBinary(absl::string_view field, absl::string_view path);

// NOT_FOUND.
absl::Status SensorNotFound(absl::string_view reference);
absl::Status PolicyNotFound(absl::string_view id);
absl::Status IsolationRuleNotFound(absl::string_view id);
absl::Status CommandNotFound(absl::string_view id);
absl::Status TokenNotFound(absl::string_view id);
absl::Status RolloutNotFound(absl::string_view id);
absl::Status RoleNotFound(absl::string_view name);
absl::Status OperatorNotFound(absl::string_view name);
absl::Status ProposalNotFound(absl::string_view id);

// ALREADY_EXISTS.
absl::Status SensorNameTaken(absl::string_view name);
absl::Status DuplicateIsolationRule();
absl::Status RoleNameTaken(absl::string_view name);
absl::Status RequestIdReused(absl::string_view request_id);
absl::Status OrderAlreadySubmitted();
absl::Status OperatorRoleDiffers(absl::string_view name, absl::string_view role);

// FAILED_PRECONDITION: change the state first.
absl::Status SensorRevoked(absl::string_view name);
absl::Status SensorCritical(absl::string_view name, const std::vector<std::string>& reasons);
// `layer` is what was ordered, such as "network isolation"; `partial`: a weaker form could be had with allow_degraded.
absl::Status MechanismMissing(absl::string_view sensor, absl::string_view layer, bool partial);
absl::Status TokenAlreadyUsed(absl::string_view id);
absl::Status NoSensorMatches();
absl::Status RolloutEnded(absl::string_view id, absl::string_view how);
absl::Status RolloutNotHalted(absl::string_view id);
absl::Status SensorCloned(absl::string_view name, absl::string_view why);
absl::Status RoleInUse(absl::string_view name);
absl::Status TooManyRoles(int limit);
absl::Status LastAdmin(absl::string_view name);
absl::Status RotationRunning();
absl::Status NoRotation();
absl::Status RotationUnconfirmed(const std::vector<std::string>& sensors, const std::vector<std::string>& replicas);
// `kind` as OrderKindWord.
absl::Status SignatureRequired(absl::string_view kind, uint32_t count);
absl::Status OrderExpired(absl::Time expired_at);
absl::Status ProposalEnded(absl::string_view id, absl::string_view how);
absl::Status SameOperator(absl::string_view name);

// ABORTED: read again, then decide again.
absl::Status StaleEtag(absl::string_view what, absl::string_view name);

// OUT_OF_RANGE: start again without the token. `why` completes "the token is of no use any more: ".
absl::Status ResumeTokenExpired(absl::string_view why);

// To a stream: another one holds the sensor now. Not to be retried on the same stream.
absl::Status StreamSuperseded();
bool IsStreamSuperseded(const absl::Status& status);
// To a stream: the report that its heartbeat builds on is not in the database. The next one must say everything.
absl::Status ReportMissing();
bool IsReportMissing(const absl::Status& status);

// RESOURCE_EXHAUSTED.
absl::Status TooManyIsolationRules(int64_t limit);
// Of one peer: more than the limit a second, or at once.
absl::Status PeerTooFast(double calls_per_second);
absl::Status PeerTooManyCalls(int calls_at_once);
absl::Status TooManyScopedPolicies(absl::string_view sensor, int64_t limit);
absl::Status TooManyBlockedBinaries(absl::string_view sensor, size_t wanted, size_t limit);

// UNAUTHENTICATED: the peer must get another identity or token.
absl::Status TokenUnknown();
absl::Status TokenUsed();
absl::Status TokenExpired(absl::Time expired_at);
absl::Status TokenRevoked();
absl::Status TokenNetwork(absl::string_view address);
absl::Status CertificateRequired();
absl::Status CertificateInvalid(absl::string_view why);
absl::Status CertificateExpired(absl::Time expired_at);
absl::Status CertificateSuperseded();
absl::Status SensorIdentityRevoked(absl::string_view sensor_id);
absl::Status SensorIdentityDeleted(absl::string_view sensor_id);
absl::Status OperatorUnknown(absl::string_view name);
absl::Status OperatorDisabled(absl::string_view name);

// PERMISSION_DENIED.
absl::Status RoleBeyondCaller(absl::string_view actor, absl::string_view permission);
absl::Status PermissionDenied(absl::string_view actor, absl::string_view role, absl::string_view permission);

}  // namespace bulkhead::controlplane
