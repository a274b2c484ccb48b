// What each order does, inside the caller's transaction: check, change, bump the generation, write the audit record.
// Every function returns the errors of domain/errors.h, and NotFound for an unknown sensor.
#pragma once

#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane::orders {

// A policy that was ordered; `unchanged`: it was there before.
struct PolicyOrdered {
  Sensor sensor;
  Policy policy;
  bool unchanged = false;
};

absl::StatusOr<PolicyOrdered> ContainSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                            const PolicyTerms& terms);
absl::StatusOr<PolicyOrdered> IsolateSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                            const PolicyTerms& terms);

// Which file to block, by path, by content or both, and what else to do about it.
struct BinaryOrder {
  std::string path;
  std::string sha256;  // 32 bytes, or empty
  bool kill_running = false;
  bool force = false;
};
// A path is blocked once, and so is a digest without a path: an order that differs in anything else replaces the
// policy.
absl::StatusOr<PolicyOrdered> BlockBinary(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                          const BinaryOrder& order, const PolicyTerms& terms);

struct Released {
  Sensor sensor;
  bool unchanged = false;
};
// Lifts containment, isolation or (only unset) both.
absl::StatusOr<Released> ReleaseSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                       std::optional<PolicyTemplate> only);
absl::StatusOr<Policy> DeletePolicy(Transaction& tx, const OrderContext& context, const std::string& policy_id);

// Deletes the policies whose lease ended at or before `now` and does not hold, each with the sensor's generation and an
// audit record by kSystemActor, in a transaction of its own. Returns how many. Any replica may call it at any time.
absl::StatusOr<int> EndExpiredPolicies(Store& store, absl::Time now);
// In audit records: the control plane itself. No operator can have this name.
inline constexpr char kSystemActor[] = "(system)";

absl::StatusOr<Command> KillProcess(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                    ProcessIdentity process, absl::Duration ttl, absl::Time now);

// Which processes to kill: exactly one.
using KillGroup = std::variant<ProcessIdentity, RunningFile, Scope>;  // the root of a tree, a file, a scope
absl::StatusOr<Command> KillProcesses(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                      const KillGroup& group, absl::Duration ttl, absl::Time now);

// Zero: the default duration, or time to live.
absl::StatusOr<Command> LowerGuard(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                   absl::Duration duration, absl::Duration ttl, absl::Time now);

struct GuardCodeCreated {
  Command command;
  std::string code;  // kept nowhere
};
absl::StatusOr<GuardCodeCreated> CreateGuardCode(Transaction& tx, const OrderContext& context,
                                                 const std::string& sensor, absl::Duration ttl, absl::Time now);

absl::StatusOr<Sensor> SetDisabled(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                   bool disabled);
absl::StatusOr<Sensor> RevokeSensor(Transaction& tx, const OrderContext& context, const std::string& sensor);
absl::Status DeleteSensor(Transaction& tx, const OrderContext& context, const std::string& sensor);

struct RuleChanged {
  IsolationRule rule;
  uint32_t sensors_affected = 0;
};
absl::StatusOr<RuleChanged> CreateIsolationRule(Transaction& tx, const OrderContext& context, IsolationRule rule,
                                                absl::Time now);
absl::StatusOr<RuleChanged> DeleteIsolationRule(Transaction& tx, const OrderContext& context,
                                                const std::string& rule_id);

struct TokenCreated {
  EnrollmentToken token;
  std::string secret;
};
absl::StatusOr<TokenCreated> CreateToken(Transaction& tx, const OrderContext& context, const std::string& label,
                                         absl::Duration ttl, const std::string& reenroll_sensor, absl::Time now);
absl::StatusOr<EnrollmentToken> RevokeToken(Transaction& tx, const OrderContext& context, const std::string& token_id);

// Consumes a token: makes the sensor, or restores the revoked one that the token names. The caller signs a certificate
// for the returned sensor and stores it (Transaction::InsertCertificate) in the same transaction.
absl::StatusOr<Sensor> Enroll(Transaction& tx, const std::string& secret, const std::string& name, absl::Time now);

}  // namespace bulkhead::controlplane::orders
