// What each order does, inside the caller's transaction: check, change, bump the generation, write the audit record.
// Every function returns the errors of domain/errors.h, and NotFound for an unknown sensor.
#pragma once

#include <functional>
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

// A sensor is contained, and isolated, once for each scope: an order that differs in its terms replaces the policy.
// TooManyScopedPolicies: more than kMaxScopedPolicies of them.
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
  std::string list_name;  // of a list in place of path and digest
  std::vector<BlockedBinary> list;
};
// A path is blocked once, so is a digest without a path, and so is a list of one name: an order that differs in
// anything else replaces the policy. TooManyBlockedBinaries: the sensor's lists would name more than
// kMaxBlockedBinaries.
absl::StatusOr<PolicyOrdered> BlockBinary(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                          const BinaryOrder& order, const PolicyTerms& terms);

// There is one list for each scope (`terms.scope`, required): an order that differs in anything replaces it.
// `kill_running`: who runs what the list does not name is killed.
absl::StatusOr<PolicyOrdered> SetAllowList(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                           AllowList list, const PolicyTerms& terms, bool kill_running = false);

struct Released {
  Sensor sensor;
  bool unchanged = false;
};
// Lifts containment, isolation or (only unset) both of `scope`; none: those without a scope.
absl::StatusOr<Released> ReleaseSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                       std::optional<PolicyTemplate> only,
                                       const std::optional<Scope>& scope = std::nullopt);
// Lifts what is in the slot, if anything is, and has the sensor told of `context.signed_order`, which says so.
absl::StatusOr<Sensor> LiftSigned(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                  const PolicySlot& slot);
absl::StatusOr<Policy> DeletePolicy(Transaction& tx, const OrderContext& context, const std::string& policy_id);

// Deletes the policies whose lease ended at or before `now` and does not hold, each with the sensor's generation and an
// audit record by kSystemActor, in a transaction of its own. Returns how many. Any replica may call it at any time.
absl::StatusOr<int> EndExpiredPolicies(Store& store, absl::Time now);
// What gives one sensor the order of a rollout, in the caller's transaction; returns the generation to wait for. The
// API has it, because an order is one of its messages.
using RolloutOrderer = std::function<absl::StatusOr<uint64_t>(Transaction& tx, const OrderContext& context,
                                                              const Rollout& rollout, const std::string& sensor_id)>;

// Chooses the sensors and stores the rollout as running. `wanted` says kind, order, allow_degraded, limits (0: the
// default), label_selector and reason; without a selector `all_sensors` must be set. The order is tried on one sensor
// and undone: InvalidArgument when it is wrong for any. With `validate_only` nothing is stored. NoSensorMatches.
absl::StatusOr<Rollout> CreateRollout(Transaction& tx, const OrderContext& context, Rollout wanted, bool all_sensors,
                                      bool validate_only, const RolloutOrderer& give);
// RolloutEnded when it has ended. Orders that were given stay, and their outcome is still recorded.
absl::StatusOr<Rollout> CancelRollout(Transaction& tx, const OrderContext& context, const std::string& rollout_id);
// Goes on in the name of the caller; failures so far are forgiven. RolloutEnded, RolloutNotHalted.
absl::StatusOr<Rollout> ResumeRollout(Transaction& tx, const OrderContext& context, const std::string& rollout_id);

// What a pass over the rollouts found.
struct RolloutPass {
  bool open = false;     // some rollout is not over
  bool changed = false;  // something was ordered, judged or ended
  int failed = 0;        // rollouts that could not be carried on now; the log says why
};
// Judges what was ordered, gives the orders for which there is room, halts and ends rollouts. Each order is given in
// one transaction with its target's change of state and behind the rollout's lock, so any replica may call it at any
// time and may die at any moment: no order is given twice, and no limit is exceeded.
absl::StatusOr<RolloutPass> DriveRollouts(Store& store, const RolloutOrderer& give);

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
// Replaces the sensor's labels.
absl::StatusOr<Sensor> SetLabels(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                 const Labels& labels);
absl::StatusOr<Sensor> RevokeSensor(Transaction& tx, const OrderContext& context, const std::string& sensor);
// Marks the sensors whose identity seems to be on two hosts, each with an audit record by kSystemActor, in a
// transaction of its own. Returns how many. Any replica may call it at any time.
absl::StatusOr<int> SuspectClones(Store& store);
absl::StatusOr<Sensor> ClearCloneSuspicion(Transaction& tx, const OrderContext& context, const std::string& sensor);
absl::Status DeleteSensor(Transaction& tx, const OrderContext& context, const std::string& sensor);

struct RuleChanged {
  IsolationRule rule;
  uint32_t sensors_affected = 0;
};
absl::StatusOr<RuleChanged> CreateIsolationRule(Transaction& tx, const OrderContext& context, IsolationRule rule,
                                                absl::Time now);
absl::StatusOr<RuleChanged> DeleteIsolationRule(Transaction& tx, const OrderContext& context,
                                                const std::string& rule_id);

// Who may do what. Nobody gives a permission that they lack: RoleBeyondCaller. `role` says name and permissions.
absl::StatusOr<Role> CreateRole(Transaction& tx, const OrderContext& context, Role role);
absl::Status DeleteRole(Transaction& tx, const OrderContext& context, const std::string& name);
// LastAdmin when no admin would be left who is not disabled.
absl::StatusOr<Operator> SetOperatorRole(Transaction& tx, const OrderContext& context, const std::string& name,
                                         const std::string& role);
absl::StatusOr<Operator> SetOperatorDisabled(Transaction& tx, const OrderContext& context, const std::string& name,
                                             bool disabled);

// Roots of the certificate authority, and, during a rotation, how far everybody is.
struct RotationStatus {
  std::vector<PublicRoot> roots;  // oldest first; none before the first rotation
  bool running = false;
  RotationProgress progress;  // towards the newest root
};
absl::StatusOr<RotationStatus> GetRotation(Transaction& tx);
// RotationRunning when two roots are in use.
absl::Status CheckMayRotate(Transaction& tx, bool lock);
// From here on both are trusted. `current` is the root that issued so far.
absl::Status BeginRotation(Transaction& tx, const OrderContext& context, const PublicRoot& current,
                           const PublicRoot& successor);
// Takes the older root out of trust. RotationUnconfirmed, unless forced, when a sensor that is not revoked has not
// confirmed a certificate of the new root and the trust bundle with it, or a replica that lives does not issue from it.
absl::Status FinishRotation(Transaction& tx, const OrderContext& context, bool force);

struct TokenCreated {
  EnrollmentToken token;
  std::string secret;
};
// What a token is for. Zero: the default time to live, or one use.
struct TokenOrder {
  std::string label;
  absl::Duration ttl;
  std::string reenroll_sensor;  // id or name
  Labels sensor_labels;
  uint32_t max_uses = 1;
  std::vector<IpPrefix> allowed_networks;
};
absl::StatusOr<TokenCreated> CreateToken(Transaction& tx, const OrderContext& context, const TokenOrder& order,
                                         absl::Time now);
absl::StatusOr<EnrollmentToken> RevokeToken(Transaction& tx, const OrderContext& context, const std::string& token_id);

// Takes one use of a token: makes the sensor, or restores the revoked one that the token names. `address` is where the
// host comes from, numeric, without port. The caller signs a certificate for the returned sensor and stores it
// (Transaction::InsertCertificate) in the same transaction.
absl::StatusOr<Sensor> Enroll(Transaction& tx, const std::string& secret, const std::string& name,
                              const std::string& address, absl::Time now);

}  // namespace bulkhead::controlplane::orders
