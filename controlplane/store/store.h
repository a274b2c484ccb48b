// The database, as the rest of the control plane sees it: transactions, and the few writes that need none.
// The only layer that includes libpqxx; its exceptions end here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/domain/label_selector.h"
#include "controlplane/domain/rollout.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// One page of a list; next_page_token is empty on the last.
template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;
};

// What Store::Listen puts before a rollout's id.
inline constexpr char kRolloutChange[] = "rollout/";

// One certificate that was issued to a sensor.
struct SensorCertificate {
  std::string serial_hex;
  std::string sensor_id;
  std::string fingerprint_hex;  // SHA-256 of the DER
  absl::Time not_before;
  absl::Time not_after;
  bool revoked = false;
};

// A database transaction. Statements fail with: NotFound, AlreadyExists (unique), FailedPrecondition (check
// constraint), Aborted (serialization, deadlock: retried by Store), Unavailable (connection lost), Internal. Not thread
// safe; lives inside Store::Run*.
class Transaction {
 public:
  virtual ~Transaction() = default;

  // `reference` is an id or a name. The row stays locked until the end when `lock` is set. Policies are filled in.
  virtual absl::StatusOr<Sensor> GetSensor(const std::string& reference, bool lock) = 0;
  // By name. `selector_text` is what the selector was parsed from: page tokens are bound to it.
  virtual absl::StatusOr<Page<Sensor>> ListSensors(const std::string& name_prefix, const LabelSelector& selector,
                                                   const std::string& selector_text, int page_size,
                                                   const std::string& page_token) = 0;
  // SensorNameTaken when there is one of that name.
  virtual absl::Status InsertSensor(const Sensor& sensor) = 0;
  virtual absl::Status SetTrust(const std::string& sensor_id, Trust trust) = 0;
  virtual absl::Status SetDisabled(const std::string& sensor_id, bool disabled) = 0;
  virtual absl::Status SetLabels(const std::string& sensor_id, const Labels& labels) = 0;
  // Deletes the sensor and all that belongs to it but audit records and what became of it in rollouts.
  virtual absl::Status DeleteSensor(const std::string& sensor_id) = 0;

  // created_at is the database's time.
  virtual absl::Status InsertPolicy(const Policy& policy) = 0;
  virtual absl::StatusOr<Policy> GetPolicy(const std::string& policy_id) = 0;
  virtual absl::Status DeletePolicy(const std::string& policy_id) = 0;
  // Whose lease is over and does not hold, the longest expired first.
  virtual absl::StatusOr<std::vector<Policy>> ExpiredPolicies(absl::Time now, int limit) = 0;
  // Empty sensor_id: of all sensors. Newest first.
  virtual absl::StatusOr<Page<Policy>> ListPolicies(const std::string& sensor_id, int page_size,
                                                    const std::string& page_token) = 0;

  // DuplicateIsolationRule when one says the same. Changes of rules wait for each other and for orders to sensors.
  virtual absl::Status InsertIsolationRule(const IsolationRule& rule) = 0;
  virtual absl::StatusOr<IsolationRule> GetIsolationRule(const std::string& rule_id) = 0;
  virtual absl::Status DeleteIsolationRule(const std::string& rule_id) = 0;
  virtual absl::StatusOr<Page<IsolationRule>> ListIsolationRules(int page_size, const std::string& page_token) = 0;
  virtual absl::StatusOr<int64_t> CountIsolationRules() = 0;

  // Adds 1 to the sensor's generation, stores the digest of its new desired state, changes its etag, and notifies every
  // replica at commit. Call after the change, once.
  virtual absl::Status BumpGeneration(const std::string& sensor_id) = 0;
  // The same for every sensor that has a network-isolation policy; returns how many.
  virtual absl::StatusOr<uint32_t> BumpIsolatedSensors() = 0;
  // The complete desired state as of this transaction.
  virtual absl::StatusOr<DesiredState> GetDesiredState(const std::string& sensor_id) = 0;

  // What is ordered for the sensor of a stream. StreamSuperseded when a newer stream owns it. With `hold` no other
  // stream can take over until the end of the transaction: the fence of every write that follows.
  virtual absl::StatusOr<OrderedState> CheckOwnership(const Ownership& owner, bool hold) = 0;

  virtual absl::Status InsertCommand(const Command& command) = 0;  // notifies at commit
  virtual absl::StatusOr<Command> GetCommand(const std::string& command_id) = 0;
  // Not yet finished, oldest first; those past their deadline are marked kExpired first.
  virtual absl::StatusOr<std::vector<Command>> OpenCommands(const std::string& sensor_id) = 0;
  // Queued ones become delivered; others stay as they are.
  virtual absl::Status MarkDelivered(const std::vector<std::string>& command_ids) = 0;
  // Stores a result once; a command that already has one is left as it is and OK is returned.
  virtual absl::Status FinishCommand(const std::string& sensor_id, const std::string& command_id,
                                     const CommandResult& result) = 0;

  // The secret is hashed here.
  virtual absl::Status InsertToken(const EnrollmentToken& token, const std::string& secret) = 0;
  // Locks the row. NotFound when no token has this secret.
  virtual absl::StatusOr<EnrollmentToken> FindTokenBySecret(const std::string& secret) = 0;
  virtual absl::StatusOr<EnrollmentToken> GetToken(const std::string& token_id) = 0;
  virtual absl::StatusOr<Page<EnrollmentToken>> ListTokens(int page_size, const std::string& page_token) = 0;
  virtual absl::Status MarkTokenUsed(const std::string& token_id, const std::string& sensor_id) = 0;
  virtual absl::Status RevokeToken(const std::string& token_id) = 0;

  // The sensors that match and are trusted and not disabled, by name, as pending targets.
  virtual absl::StatusOr<std::vector<RolloutTarget>> SelectTargets(const LabelSelector& selector) = 0;
  // Every change of a rollout notifies every replica at commit. created_at and ended_at are the database's time.
  virtual absl::Status InsertRollout(const Rollout& rollout, const std::vector<RolloutTarget>& targets) = 0;
  // The row stays locked until the end when `lock` is set.
  virtual absl::StatusOr<Rollout> GetRollout(const std::string& rollout_id, bool lock) = 0;
  // Newest first.
  virtual absl::StatusOr<Page<Rollout>> ListRollouts(int page_size, const std::string& page_token) = 0;
  // By name; no state: all.
  virtual absl::StatusOr<Page<RolloutTarget>> ListRolloutTargets(const std::string& rollout_id,
                                                                 std::optional<RolloutTargetState> state, int page_size,
                                                                 const std::string& page_token) = 0;
  // Ids of those that run, or whose orders have no outcome yet.
  virtual absl::StatusOr<std::vector<std::string>> OpenRollouts() = 0;
  // Locks the rollout until the end. None: somebody else has it locked, or it is gone. What follows in this transaction
  // is done by one replica at a time, and is lost as a whole if the replica dies.
  virtual absl::StatusOr<std::optional<RolloutStanding>> ClaimRollout(const std::string& rollout_id) = 0;
  // Ordered and enforced targets about which JudgeTarget may have something new to say.
  virtual absl::StatusOr<std::vector<RolloutEvidence>> TargetsToJudge(const Rollout& rollout) = 0;
  // The first by name; none: all had their turn.
  virtual absl::StatusOr<std::optional<RolloutTarget>> NextPendingTarget(const std::string& rollout_id) = 0;
  // `generation` is what the order made. Remembers in what way the sensor is degraded now.
  virtual absl::Status MarkTargetOrdered(const std::string& rollout_id, const std::string& sensor_id,
                                         uint64_t generation) = 0;
  virtual absl::Status MarkTarget(const std::string& rollout_id, const std::string& sensor_id,
                                  const TargetVerdict& verdict) = 0;
  // Stores state, halted_because, ordered_by and forgiven.
  virtual absl::Status UpdateRollout(const Rollout& rollout) = 0;

  // Runs `body`, which uses this transaction, and undoes what it did when it returns an error; the transaction goes on
  // either way, but after a lost connection or a deadlock. Returns what `body` returned, or the statement that failed
  // in it. Not to be nested.
  virtual absl::Status Attempt(absl::FunctionRef<absl::Status()> body) = 0;

  virtual absl::Status InsertCertificate(const SensorCertificate& certificate) = 0;
  virtual absl::Status RevokeCertificates(const std::string& sensor_id) = 0;

  // Appends to the hash chain; serializes against other appenders until the end of the transaction. sequence, time and
  // hash are filled in.
  virtual absl::Status AppendAudit(const AuditRecord& record) = 0;
};

// Thread safe: a pool of connections inside. Every method may fail with Unavailable; then it changed nothing, or
// (Unknown) may have.
class Store {
 public:
  struct Options {
    std::string connection_string;  // libpq form; several hosts: the one that takes writes is used
    // The same database without a pooler in between, for what a pooler loses: notifications. Empty: connection_string.
    std::string listen_connection_string;
    int pool_size = 8;
    std::string timeline_file;         // for TimelineFence; empty: what was seen is forgotten at exit
    std::string migrations_directory;  // empty: those built into the program
  };

  // Connects and applies missing migrations under a lock. FailedPrecondition when the schema is newer than this
  // program.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const Options& options);
  virtual ~Store() = default;

  // Runs `body` in one serializable-enough transaction and commits when it returns OK. Retries Aborted a few times:
  // `body` must have no other effects.
  virtual absl::Status Run(absl::FunctionRef<absl::Status(Transaction&)> body) = 0;

  // As Run, for an order: when `context.request_id` was used before by this actor with the same `fingerprint` (method
  // and request bytes) the stored answer is returned and `body` is not run; with another fingerprint AlreadyExists.
  // Otherwise `body`'s answer is stored with the change.
  virtual absl::StatusOr<std::string> RunOrder(const OrderContext& context, const std::string& fingerprint,
                                               absl::FunctionRef<absl::StatusOr<std::string>(Transaction&)> body) = 0;

  // Stores a report as the sensor's latest, and, for a heartbeat, one row of history; returns what is ordered. Empty
  // host_info, boot_id or capabilities (with its tiers) leave what is stored: only Hello carries them. StreamSuperseded
  // when a newer stream owns the sensor; then nothing is stored.
  virtual absl::StatusOr<OrderedState> RecordReport(const Ownership& owner, const SensorReport& report,
                                                    bool heartbeat) = 0;
  // Stores what became of a generation. A report of `applied` clears an older failure. StreamSuperseded as above.
  virtual absl::Status RecordPolicyStatus(const Ownership& owner, uint64_t generation, bool applied,
                                          const std::string& message) = 0;

  // Keeps the lease of a replica's run (a UUID) for so long from now; the first call of a run ends every other run of
  // the same name. While the lease lasts, the sensors whose streams the run holds are connected. Returns the database's
  // time. Does not wait for standbys, so that replicas stay alive while none of them answers.
  virtual absl::StatusOr<absl::Time> RenewReplica(const std::string& run_id, const std::string& name,
                                                  absl::Duration lease) = 0;
  // Ends the lease at once.
  virtual absl::Status EndReplica(const std::string& run_id) = 0;
  // A stream opened at this run: an older stream of the same sensor has lost ownership, and if it is at another replica
  // that lives, that one is notified.
  virtual absl::StatusOr<Ownership> OpenSession(const std::string& sensor_id, const std::string& run_id) = 0;
  // A stream closed; no effect when a newer one owns the sensor.
  virtual absl::Status CloseSession(const Ownership& owner) = 0;
  // Every stream that this run owns, in any order.
  virtual absl::StatusOr<std::vector<HeldStream>> ListHeldStreams(const std::string& run_id) = 0;

  virtual absl::StatusOr<SensorCertificate> FindCertificate(const std::string& serial_hex) = 0;
  // NotFound when no operator has this certificate fingerprint.
  virtual absl::StatusOr<Operator> FindOperator(const std::string& fingerprint_hex) = 0;
  // Stores an operator with a certificate, or another certificate of an operator who exists with the same role.
  virtual absl::Status InsertOperator(const Operator& op, const std::string& fingerprint_hex) = 0;

  virtual absl::StatusOr<Page<AuditRecord>> ListAudit(const std::string& target, int page_size,
                                                      const std::string& page_token) = 0;
  struct AuditCheck {
    uint64_t records = 0;
    uint64_t first_bad = 0;
    std::string problem;
  };
  virtual absl::StatusOr<AuditCheck> VerifyAudit() = 0;

  // Deletes heartbeat history older than `keep` and expires commands and answers; returns rows deleted. Called about
  // once a minute.
  virtual absl::StatusOr<int64_t> Sweep(absl::Duration keep) = 0;

  // Calls `on_change(id)` for every change that any replica commits, with the id of a sensor, or kRolloutChange and
  // that of a rollout, from a thread of its own, until the store is destroyed. An empty id means "anything may have
  // changed" (after the listening connection was lost and restored). Call once.
  virtual absl::Status Listen(std::function<void(const std::string& sensor_id)> on_change) = 0;
};

}  // namespace bulkhead::controlplane
