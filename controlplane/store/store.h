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
#include "controlplane/domain/event.h"
#include "controlplane/domain/fleet_figures.h"
#include "controlplane/domain/label_selector.h"
#include "controlplane/domain/order_proposal.h"
#include "controlplane/domain/rollout.h"
#include "controlplane/domain/types.h"
#include "controlplane/store/store_observer.h"

namespace bulkhead::controlplane {

// One page of a list; next_page_token is empty on the last.
template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;
};

// What Store::Listen puts before a rollout's id.
inline constexpr char kRolloutChange[] = "rollout/";
// What a replica tells its own watchers when it has stored events. Not sent through the database: each event would wait
// for the commit of the one before, whatever the sensor.
inline constexpr char kEventsChange[] = "events";

// A sensor whose identity seems to be on two hosts.
struct CloneSign {
  std::string sensor_id;
  int instance_returns = 0;  // how often a run of the sensor program came back after another was seen
  int superseded_shown = 0;  // how often one of its superseded certificates was shown
};

// What a sensor says when nothing but its counters has changed since its last report.
struct PlainHeartbeat {
  Ownership owner;
  uint64_t number = 0;   // of the report in its stream; see SensorReport.number
  std::string observed;  // bulkhead.v1.ObservedState
  uint64_t whole = 0;    // number of the report that it builds on: the last that said everything
};

// How long records are kept. Whole days go at once: a record may be kept up to a day longer.
struct Retention {
  absl::Duration heartbeats = absl::Hours(24 * 7);
  absl::Duration events = absl::Hours(24 * 30);
};

// The big parts of a sensor; what is false is neither read nor filled in.
struct SensorParts {
  bool observed = true;
  bool host = true;
  bool capabilities = true;
};

// A moment in the life of one database, as ChangeMoment names it and ListSensors compares with it. Opaque to others.
struct ChangeMoment {
  std::string database;      // changes when the database's history does: another cluster, or a failover
  uint64_t transaction = 0;  // every transaction below it had ended
  absl::Time time;           // the database's
};

// Which sensors, and what of them.
struct SensorQuery {
  std::string name_prefix;
  LabelSelector selector;
  // Beyond what SQL can say; sees the sensor with its policies and without the big parts. Null: all.
  std::function<bool(const Sensor&)> keep;
  // What selector and keep were made from: page tokens are bound to it.
  std::string filter_text;
  SensorParts parts;
  // Fills in Sensor::maybe_changed, from ChangeMoment.transaction; 0: not asked.
  uint64_t changed_since = 0;
};

// A sensor that is gone.
struct DeletedSensor {
  std::string id;
  std::string name;
};

// Connections to the database.
struct PoolFigures {
  int size = 0;  // at most
  int lent = 0;
  int idle = 0;
};

// A policy of which the first receipt was just stored.
struct NewlyEnforced {
  PolicyTemplate policy_template = PolicyTemplate::kNetworkContainment;
  absl::Duration since_order;  // by the database's clock
};

// A database transaction. Statements fail with: NotFound, AlreadyExists (unique), FailedPrecondition (check
// constraint), Aborted (serialization, deadlock: retried by Store), Unavailable (connection lost), Internal. Not thread
// safe; lives inside Store::Run*.
class Transaction {
 public:
  virtual ~Transaction() = default;

  // `reference` is an id or a name. The row stays locked until the end when `lock` is set. Policies are filled in.
  virtual absl::StatusOr<Sensor> GetSensor(const std::string& reference, bool lock) = 0;
  // By name.
  virtual absl::StatusOr<Page<Sensor>> ListSensors(const SensorQuery& query, int page_size,
                                                   const std::string& page_token) = 0;
  // Now, for changed_since later: what is committed and visible here is before it.
  virtual absl::StatusOr<ChangeMoment> Moment() = 0;
  // Deleted since then, in any order.
  virtual absl::StatusOr<std::vector<DeletedSensor>> DeletedSince(uint64_t transaction) = 0;
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

  // In place of an older one for the same slot.
  virtual absl::Status PutSignedRelease(const SignedRelease& release) = 0;

  // created_at is the database's time. OrderAlreadySubmitted when there is one with this statement.
  virtual absl::Status InsertProposal(const OrderProposal& proposal) = 0;
  // The row stays locked until the end when `lock` is set. ProposalNotFound.
  virtual absl::StatusOr<OrderProposal> GetProposal(const std::string& proposal_id, bool lock) = 0;
  // Newest first; no state: all.
  virtual absl::StatusOr<Page<OrderProposal>> ListProposals(std::optional<ProposalState> state, int page_size,
                                                            const std::string& page_token) = 0;
  // Stores state, signed_order, approvals, ended_by and results; ended_at is the database's time.
  virtual absl::Status UpdateProposal(const OrderProposal& proposal) = 0;

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
  // Takes one use and records it, at the database's time. TokenUsed when none is left, or it was revoked.
  virtual absl::Status UseToken(const std::string& token_id, const EnrollmentTokenUse& use) = 0;
  // In the order of the uses.
  virtual absl::StatusOr<Page<EnrollmentTokenUse>> ListTokenUses(const std::string& token_id, int page_size,
                                                                 const std::string& page_token) = 0;
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

  // Marks the sensor; false: it was already.
  virtual absl::StatusOr<bool> SetCloneSuspicion(const std::string& sensor_id, const std::string& reason) = 0;
  // Forgets the suspicion and the signs that led to it.
  virtual absl::Status ClearCloneSuspicion(const std::string& sensor_id) = 0;

  // Roles that are not built in, by name.
  virtual absl::StatusOr<std::vector<Role>> ListRoles() = 0;
  // RoleNotFound. With `hold` nobody deletes it until the end.
  virtual absl::StatusOr<Role> GetRole(const std::string& name, bool hold) = 0;
  // RoleNameTaken.
  virtual absl::Status InsertRole(const Role& role) = 0;
  // RoleNotFound, RoleInUse.
  virtual absl::Status DeleteRole(const std::string& name) = 0;
  // By name.
  virtual absl::StatusOr<Page<Operator>> ListOperators(int page_size, const std::string& page_token) = 0;
  // OperatorNotFound. The row stays locked until the end when `lock` is set.
  virtual absl::StatusOr<Operator> GetOperator(const std::string& name, bool lock) = 0;
  // Stores role and disabled. LastAdmin when no admin would be left.
  virtual absl::Status UpdateOperator(const Operator& op) = 0;

  // Oldest first; none before the first rotation. With `lock` nobody else changes them until the end.
  virtual absl::StatusOr<std::vector<PublicRoot>> ListRoots(bool lock) = 0;
  virtual absl::Status InsertRoot(const PublicRoot& root) = 0;
  virtual absl::Status RetireRoot(const std::string& fingerprint_hex) = 0;
  // How far everybody is with moving to this root.
  virtual absl::StatusOr<RotationProgress> GetRotationProgress(const std::string& fingerprint_hex) = 0;

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
    std::string timeline_file;          // for TimelineFence; empty: what was seen is forgotten at exit
    std::string migrations_directory;   // empty: those built into the program
    StoreObserver* observer = nullptr;  // null: nobody counts; not owned, outlives the store
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
  // Stores what they say that no later report of their stream has said, and a row of history for each, in one statement
  // that waits for no lock: a sensor that somebody has locked now keeps its older report. Answers each in its place, as
  // RecordReport would, or ReportMissing: a primary that was lost took the report with it that this one builds on, for
  // reports do not wait for standbys.
  virtual absl::StatusOr<std::vector<absl::StatusOr<OrderedState>>> RecordHeartbeats(
      const std::vector<PlainHeartbeat>& heartbeats) = 0;
  // Stores what became of a generation. A report of `applied` clears an older failure. StreamSuperseded as above.
  virtual absl::Status RecordPolicyStatus(const Ownership& owner, uint64_t generation, bool applied,
                                          const std::string& message) = 0;

  // A receipt showed `generation` with `digest` in force. Marks those of the policies that it is the first receipt for,
  // and returns them; none when something else is ordered by now, or a newer stream owns the sensor.
  virtual absl::StatusOr<std::vector<NewlyEnforced>> RecordEnforced(const Ownership& owner, uint64_t generation,
                                                                    const std::string& digest,
                                                                    const std::vector<std::string>& policy_ids) = 0;

  // Keeps the lease of a replica's run (a UUID) for so long from now; the first call of a run ends every other run of
  // the same name. While the lease lasts, the sensors whose streams the run holds are connected. Returns the database's
  // time. Does not wait for standbys, so that replicas stay alive while none of them answers.
  virtual absl::StatusOr<absl::Time> RenewReplica(const std::string& run_id, const std::string& name,
                                                  absl::Duration lease) = 0;
  // Ends the lease at once.
  virtual absl::Status EndReplica(const std::string& run_id) = 0;
  // A stream opened at this run: an older stream of the same sensor has lost ownership, and if it is at another replica
  // that lives, that one is notified.
  // `instance` is the run of the sensor program that says hello, for GetCloneSigns; empty: not told.
  virtual absl::StatusOr<Ownership> OpenSession(const std::string& sensor_id, const std::string& run_id,
                                                const std::string& instance = "") = 0;
  // A stream closed; no effect when a newer one owns the sensor.
  virtual absl::Status CloseSession(const Ownership& owner) = 0;
  // Every stream that this run owns, in any order.
  virtual absl::StatusOr<std::vector<HeldStream>> ListHeldStreams(const std::string& run_id) = 0;

  virtual absl::StatusOr<SensorCertificate> FindCertificate(const std::string& serial_hex) = 0;
  // First use: the certificates that were issued before it are superseded.
  virtual absl::Status ActivateCertificate(const std::string& serial_hex) = 0;
  // The sensor has it on disk.
  virtual absl::Status ConfirmCertificate(const std::string& sensor_id, const std::string& serial_hex) = 0;
  // A superseded certificate was shown.
  virtual absl::Status CountSupersededUse(const std::string& serial_hex) = 0;
  // Sensors that are not suspected yet, and of which `returns` or `shown` signs were seen.
  virtual absl::StatusOr<std::vector<CloneSign>> GetCloneSigns(int returns, int shown) = 0;

  // Tells the other replicas what this one verifies by and issues with. True when all that live verify by the same.
  virtual absl::StatusOr<bool> ReportAuthority(const std::string& run_id, const std::string& trust_bundle_digest,
                                               const std::string& issuer_hex) = 0;

  // NotFound when no operator has this certificate fingerprint.
  virtual absl::StatusOr<Operator> FindOperator(const std::string& fingerprint_hex) = 0;
  // Stores an operator with a certificate, or another certificate of an operator who exists with the same role.
  virtual absl::Status InsertOperator(const Operator& op, const std::string& fingerprint_hex,
                                      const std::string& issuer_hex = "") = 0;

  // Stores the events of a valid batch that were not stored before, at most `daily_limit` of a kind and UTC day, and
  // counts those that are missing or too many. On disk when it returns. StreamSuperseded as above.
  virtual absl::StatusOr<EventsTaken> StoreEvents(const Ownership& owner, const EventBatch& batch,
                                                  uint64_t daily_limit) = 0;
  // Newest first.
  virtual absl::StatusOr<Page<StoredEvent>> ListEvents(const EventFilter& filter, int page_size,
                                                       const std::string& page_token) = 0;
  // The next events after `cursor`, at most `limit`, in an order that no later event can change: one that is stored by
  // a transaction which began before another is waited for. Moves the cursor behind them, or, when there are fewer,
  // behind all that is certain. InvalidField("resume_token") when the cursor is not of this database.
  virtual absl::StatusOr<std::vector<StoredEvent>> FollowEvents(const EventFilter& filter, int limit,
                                                                EventCursor* cursor) = 0;
  // The cursor behind all that is stored now.
  virtual absl::StatusOr<EventCursor> EndOfEvents() = 0;
  // Newest day first. Empty sensor_id: of all.
  virtual absl::StatusOr<Page<EventCount>> ListEventCounts(const std::string& sensor_id, int page_size,
                                                           const std::string& page_token) = 0;

  virtual absl::StatusOr<Page<AuditRecord>> ListAudit(const std::string& target, int page_size,
                                                      const std::string& page_token) = 0;
  struct AuditCheck {
    uint64_t records = 0;
    uint64_t first_bad = 0;
    std::string problem;
  };
  virtual absl::StatusOr<AuditCheck> VerifyAudit() = 0;
  struct AuditHead {
    uint64_t sequence = 0;  // of the last record; 0: none
    std::string hash;
  };
  virtual absl::StatusOr<AuditHead> GetAuditHead() = 0;
  // Some records in order. Their hashes chain: each record's previous hash is that of the one before it.
  struct AuditSpan {
    std::vector<AuditRecord> records;
    std::string previous_hash;  // of the record before the first
    uint64_t next = 0;          // where to go on; 0: that was all
  };
  // From `from` (0: the first) to `to` (0: the last), of `since` or later when it is given, at most `limit`.
  virtual absl::StatusOr<AuditSpan> ExportAudit(uint64_t from, uint64_t to, std::optional<absl::Time> since,
                                                int limit) = 0;

  // Deletes old answers to orders and what is known of sensors deleted long ago, and expires commands; returns rows
  // deleted. Called about once a minute.
  virtual absl::StatusOr<int64_t> Sweep() = 0;
  // Makes the partitions of the next days, and removes records that are too old both by the database's clock and by
  // `now`, so that no clock alone can have them removed. Returns partitions and rows removed. Called about once a
  // minute by every replica; Unavailable when somebody reads what is to go, to be tried again.
  virtual absl::StatusOr<int64_t> KeepPartitions(const Retention& keep, absl::Time now) = 0;

  // For monitoring; a few indexed counts.
  virtual absl::StatusOr<StoredFigures> ReadFigures() = 0;
  virtual PoolFigures Pool() const = 0;
  // OK when every migration of this program is applied. (A newer program may have applied more: a rolling upgrade.)
  virtual absl::Status CheckSchema() = 0;

  // Calls `on_change(id)` for every change that any replica commits, with the id of a sensor, or kRolloutChange and
  // that of a rollout, from a thread of its own, until the store is destroyed. An empty id means "anything may have
  // changed" (after the listening connection was lost and restored). Call once.
  virtual absl::Status Listen(std::function<void(const std::string& sensor_id)> on_change) = 0;
};

}  // namespace bulkhead::controlplane
