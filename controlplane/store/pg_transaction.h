// Transaction on a PostgreSQL connection. Its methods are defined by topic in the files *_sql.cc.
#pragma once

#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "controlplane/store/pg_errors.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// The channel on which every replica hears of changes; the payload is a sensor's id, or kRolloutChange and a rollout's.
inline constexpr char kChangeChannel[] = "bulkhead_changes";

// Tells an observer, if there is one, how long its own life was.
class StatementTimer {
 public:
  StatementTimer(StoreObserver* observer, absl::string_view operation)
      : observer_(observer), operation_(operation), begin_(observer ? absl::GetCurrentTimeNanos() : 0) {}
  ~StatementTimer() {
    if (observer_) observer_->OnStatement(operation_, absl::Nanoseconds(absl::GetCurrentTimeNanos() - begin_));
  }
  StatementTimer(const StatementTimer&) = delete;
  StatementTimer& operator=(const StatementTimer&) = delete;

 private:
  StoreObserver* const observer_;
  const absl::string_view operation_;
  const int64_t begin_;
};

// After a statement failed, every later one returns the same failure: the database would refuse it anyway. Not thread
// safe.
//
// Locks are always taken in this order, so that orders do not deadlock: order request, rollout, isolation rules,
// enrollment token, sensor (several: by id), block-lists, a rollout's target, end of the audit log.
class PgTransaction final : public Transaction {
 public:
  explicit PgTransaction(pqxx::work& work, StoreObserver* observer = nullptr) : work_(work), observer_(observer) {}

  // Runs one statement with bound parameters. `what` is for the error message.
  template <typename... Args>
  absl::StatusOr<pqxx::result> Execute(absl::string_view what, const std::string& sql, const Args&... args) {
    if (!failure_.status.ok()) return failure_.status;
    const StatementTimer timer(observer_, what);
    try {
      return work_.exec_params(sql, args...);
    } catch (...) {
      failure_ = FailureFromCurrentException(what);
      return failure_.status;
    }
  }

  // Tells the observer of what was committed with this transaction.
  void TellCommitted() const;

  // The first failure of a statement; its status is OK when there was none.
  const PgFailure& failure() const { return failure_; }

  absl::StatusOr<Sensor> GetSensor(const std::string& reference, bool lock) override;
  absl::StatusOr<Page<Sensor>> ListSensors(const SensorQuery& query, int page_size,
                                           const std::string& page_token) override;
  absl::StatusOr<ChangeMoment> Moment() override;
  absl::StatusOr<std::vector<DeletedSensor>> DeletedSince(uint64_t transaction) override;
  absl::Status InsertSensor(const Sensor& sensor) override;
  absl::Status SetTrust(const std::string& sensor_id, Trust trust) override;
  absl::Status SetDisabled(const std::string& sensor_id, bool disabled) override;
  absl::Status SetLabels(const std::string& sensor_id, const Labels& labels) override;
  absl::Status DeleteSensor(const std::string& sensor_id) override;

  absl::Status InsertPolicy(const Policy& policy) override;
  absl::StatusOr<Policy> GetPolicy(const std::string& policy_id) override;
  absl::Status DeletePolicy(const std::string& policy_id) override;
  absl::StatusOr<std::vector<Policy>> ExpiredPolicies(absl::Time now, int limit) override;
  absl::StatusOr<Page<Policy>> ListPolicies(const std::string& sensor_id, int page_size,
                                            const std::string& page_token) override;

  absl::Status InsertIsolationRule(const IsolationRule& rule) override;
  absl::StatusOr<IsolationRule> GetIsolationRule(const std::string& rule_id) override;
  absl::Status DeleteIsolationRule(const std::string& rule_id) override;
  absl::StatusOr<Page<IsolationRule>> ListIsolationRules(int page_size, const std::string& page_token) override;
  absl::StatusOr<int64_t> CountIsolationRules() override;

  absl::Status BumpGeneration(const std::string& sensor_id) override;
  absl::StatusOr<uint32_t> BumpIsolatedSensors() override;
  absl::StatusOr<DesiredState> GetDesiredState(const std::string& sensor_id) override;

  absl::StatusOr<OrderedState> CheckOwnership(const Ownership& owner, bool hold) override;

  absl::Status PutSignedRelease(const SignedRelease& release) override;
  absl::Status InsertProposal(const OrderProposal& proposal) override;
  absl::StatusOr<OrderProposal> GetProposal(const std::string& proposal_id, bool lock) override;
  absl::StatusOr<Page<OrderProposal>> ListProposals(std::optional<ProposalState> state, int page_size,
                                                    const std::string& page_token) override;
  absl::Status UpdateProposal(const OrderProposal& proposal) override;

  absl::Status InsertCommand(const Command& command) override;
  absl::StatusOr<Command> GetCommand(const std::string& command_id) override;
  absl::StatusOr<std::vector<Command>> OpenCommands(const std::string& sensor_id) override;
  absl::Status MarkDelivered(const std::vector<std::string>& command_ids) override;
  absl::Status FinishCommand(const std::string& sensor_id, const std::string& command_id,
                             const CommandResult& result) override;
  // Marks commands kExpired: queued ones past their deadline, delivered ones long past it. Empty ids: any. Returns how
  // many.
  absl::StatusOr<int64_t> ExpireCommands(const std::string& sensor_id, const std::string& command_id);

  absl::Status InsertToken(const EnrollmentToken& token, const std::string& secret) override;
  absl::StatusOr<EnrollmentToken> FindTokenBySecret(const std::string& secret) override;
  absl::StatusOr<EnrollmentToken> GetToken(const std::string& token_id) override;
  absl::StatusOr<Page<EnrollmentToken>> ListTokens(int page_size, const std::string& page_token) override;
  absl::Status UseToken(const std::string& token_id, const EnrollmentTokenUse& use) override;
  absl::StatusOr<Page<EnrollmentTokenUse>> ListTokenUses(const std::string& token_id, int page_size,
                                                         const std::string& page_token) override;
  absl::Status RevokeToken(const std::string& token_id) override;

  absl::StatusOr<std::vector<RolloutTarget>> SelectTargets(const LabelSelector& selector) override;
  absl::Status InsertRollout(const Rollout& rollout, const std::vector<RolloutTarget>& targets) override;
  absl::StatusOr<Rollout> GetRollout(const std::string& rollout_id, bool lock) override;
  absl::StatusOr<Page<Rollout>> ListRollouts(int page_size, const std::string& page_token) override;
  absl::StatusOr<Page<RolloutTarget>> ListRolloutTargets(const std::string& rollout_id,
                                                         std::optional<RolloutTargetState> state, int page_size,
                                                         const std::string& page_token) override;
  absl::StatusOr<std::vector<std::string>> OpenRollouts() override;
  absl::StatusOr<std::optional<RolloutStanding>> ClaimRollout(const std::string& rollout_id) override;
  absl::StatusOr<std::vector<RolloutEvidence>> TargetsToJudge(const Rollout& rollout) override;
  absl::StatusOr<std::optional<RolloutTarget>> NextPendingTarget(const std::string& rollout_id) override;
  absl::Status MarkTargetOrdered(const std::string& rollout_id, const std::string& sensor_id,
                                 uint64_t generation) override;
  absl::Status MarkTarget(const std::string& rollout_id, const std::string& sensor_id,
                          const TargetVerdict& verdict) override;
  absl::Status UpdateRollout(const Rollout& rollout) override;

  absl::Status Attempt(absl::FunctionRef<absl::Status()> body) override;

  absl::Status InsertCertificate(const SensorCertificate& certificate) override;
  absl::Status RevokeCertificates(const std::string& sensor_id) override;
  absl::StatusOr<bool> SetCloneSuspicion(const std::string& sensor_id, const std::string& reason) override;
  absl::Status ClearCloneSuspicion(const std::string& sensor_id) override;

  absl::StatusOr<std::vector<Role>> ListRoles() override;
  absl::StatusOr<Role> GetRole(const std::string& name, bool hold) override;
  absl::Status InsertRole(const Role& role) override;
  absl::Status DeleteRole(const std::string& name) override;
  absl::StatusOr<Page<Operator>> ListOperators(int page_size, const std::string& page_token) override;
  absl::StatusOr<Operator> GetOperator(const std::string& name, bool lock) override;
  absl::Status UpdateOperator(const Operator& op) override;

  absl::StatusOr<std::vector<PublicRoot>> ListRoots(bool lock) override;
  absl::Status InsertRoot(const PublicRoot& root) override;
  absl::Status RetireRoot(const std::string& fingerprint_hex) override;
  absl::StatusOr<RotationProgress> GetRotationProgress(const std::string& fingerprint_hex) override;

  absl::Status AppendAudit(const AuditRecord& record) override;

 private:
  // The parts of InsertPolicy and DeletePolicy that are about what several policies may share.
  absl::Status LockBlockLists();
  absl::Status PutBlockList(const BlockList& list);
  absl::Status RemoveUnusedBlockList(const std::string& sha256);
  // Fills in the policies of the sensors, oldest first.
  absl::Status AttachPolicies(std::vector<Sensor>* sensors);
  absl::StatusOr<std::vector<Policy>> PoliciesOf(const std::vector<std::string>& sensor_ids);
  absl::StatusOr<std::vector<Sensor>> SensorsById(const std::vector<std::string>& sensor_ids);  // without policies
  // The rollout of a row, with what is counted of it.
  absl::StatusOr<RolloutStanding> StandingOf(const pqxx::row& row);
  absl::StatusOr<std::vector<std::string>> SignedReleases(const std::string& sensor_id);
  absl::Status NotifyRollout(const std::string& rollout_id);
  absl::StatusOr<std::vector<IsolationRule>> AllIsolationRules();
  // Keeps the set of rules as it is until the end: changes of rules (exclusive) wait for changes of sensors (shared),
  // and the other way round.
  absl::Status LockRules(bool exclusive);
  // Counts an order in the sensor's etag and tells every replica at commit. NotFound when there is no such sensor.
  absl::Status Touch(const std::string& sensor_id);
  absl::Status Notify(const std::vector<std::string>& changes);

  // The next sensors behind the name `after`, with policies; `query.keep` is not asked.
  absl::StatusOr<std::vector<Sensor>> ReadSensors(const SensorQuery& query, const SensorParts& parts,
                                                  const std::string& after, int limit);
  // Those that `query.keep` keeps, without the big parts.
  absl::StatusOr<std::vector<Sensor>> FindSensors(const SensorQuery& query, std::string after, int limit);
  absl::Status FillParts(const SensorParts& parts, std::vector<Sensor>* sensors);

  pqxx::work& work_;
  StoreObserver* const observer_;
  PgFailure failure_;
  std::vector<std::pair<std::string, std::string>> audited_;  // action and outcome
  bool rules_locked_ = false;
  bool rules_locked_exclusively_ = false;
};

// A row with trust, desired_generation, desired_digest, open_commands.
OrderedState OrderedStateFrom(const pqxx::row& row);

// A condition on the labels of the sensors row `s` with four parameters from $FIRST on: JsonText of what is equal,
// TextArray of keys that are there, JsonTextArray of what differs, TextArray of keys that are not there.
std::string SelectorSql(int first);

// A row of enforcement_policies, wherever it was selected.
Policy PolicyFrom(const pqxx::row& row);

// Reads a row into a value with `read(row)`; a value that cannot be read is our bug or a changed schema: Internal.
template <typename Read>
auto ReadRow(absl::string_view what, const pqxx::row& row, Read read) -> absl::StatusOr<decltype(read(row))> {
  try {
    return read(row);
  } catch (...) {
    return FailureFromCurrentException(what).status;
  }
}

template <typename Read>
auto ReadRows(absl::string_view what, const pqxx::result& rows, Read read)
    -> absl::StatusOr<std::vector<decltype(read(rows.front()))>> {
  std::vector<decltype(read(rows.front()))> items;
  try {
    items.reserve(rows.size());
    for (const pqxx::row& row : rows) items.push_back(read(row));
  } catch (...) {
    return FailureFromCurrentException(what).status;
  }
  return items;
}

}  // namespace bulkhead::controlplane
