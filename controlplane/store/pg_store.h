// Store on PostgreSQL. Methods that need more than a few lines of SQL are defined by topic in the files *_sql.cc.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/store/change_listener.h"
#include "controlplane/store/connection_pool.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/store.h"
#include "controlplane/store/timeline_fence.h"

namespace bulkhead::controlplane {

class PgStore final : public Store {
 public:
  PgStore(const Options& options, std::unique_ptr<TimelineFence> fence, size_t migrations)
      : listen_connection_string_(options.listen_connection_string.empty() ? options.connection_string
                                                                           : options.listen_connection_string),
        fence_(std::move(fence)),
        migrations_(migrations),
        observer_(options.observer),
        pool_(options.connection_string, options.pool_size, fence_.get()) {}

  absl::Status Run(absl::FunctionRef<absl::Status(Transaction&)> body) override;
  absl::StatusOr<std::string> RunOrder(const OrderContext& context, const std::string& fingerprint,
                                       absl::FunctionRef<absl::StatusOr<std::string>(Transaction&)> body) override;

  absl::StatusOr<OrderedState> RecordReport(const Ownership& owner, const SensorReport& report,
                                            bool heartbeat) override;
  absl::StatusOr<std::vector<absl::StatusOr<OrderedState>>> RecordHeartbeats(
      const std::vector<PlainHeartbeat>& heartbeats) override;
  absl::Status RecordPolicyStatus(const Ownership& owner, uint64_t generation, bool applied,
                                  const std::string& message) override;
  absl::StatusOr<std::vector<NewlyEnforced>> RecordEnforced(const Ownership& owner, uint64_t generation,
                                                            const std::string& digest,
                                                            const std::vector<std::string>& policy_ids) override;

  absl::StatusOr<absl::Time> RenewReplica(const std::string& run_id, const std::string& name,
                                          absl::Duration lease) override;
  absl::Status EndReplica(const std::string& run_id) override;
  absl::StatusOr<Ownership> OpenSession(const std::string& sensor_id, const std::string& run_id,
                                        const std::string& instance) override;
  absl::Status CloseSession(const Ownership& owner) override;
  absl::StatusOr<std::vector<HeldStream>> ListHeldStreams(const std::string& run_id) override;

  absl::StatusOr<SensorCertificate> FindCertificate(const std::string& serial_hex) override;
  absl::Status ActivateCertificate(const std::string& serial_hex) override;
  absl::Status ConfirmCertificate(const std::string& sensor_id, const std::string& serial_hex) override;
  absl::Status CountSupersededUse(const std::string& serial_hex) override;
  absl::StatusOr<std::vector<CloneSign>> GetCloneSigns(int returns, int shown) override;
  absl::StatusOr<bool> ReportAuthority(const std::string& run_id, const std::string& trust_bundle_digest,
                                       const std::string& issuer_hex) override;
  absl::StatusOr<Operator> FindOperator(const std::string& fingerprint_hex) override;
  absl::Status InsertOperator(const Operator& op, const std::string& fingerprint_hex,
                              const std::string& issuer_hex) override;

  absl::StatusOr<EventsTaken> StoreEvents(const Ownership& owner, const EventBatch& batch,
                                          uint64_t daily_limit) override;
  absl::StatusOr<Page<StoredEvent>> ListEvents(const EventFilter& filter, int page_size,
                                               const std::string& page_token) override;
  absl::StatusOr<std::vector<StoredEvent>> FollowEvents(const EventFilter& filter, int limit,
                                                        EventCursor* cursor) override;
  absl::StatusOr<EventCursor> EndOfEvents() override;
  absl::StatusOr<Page<EventCount>> ListEventCounts(const std::string& sensor_id, int page_size,
                                                   const std::string& page_token) override;

  absl::StatusOr<Page<AuditRecord>> ListAudit(const std::string& target, int page_size,
                                              const std::string& page_token) override;
  absl::StatusOr<AuditCheck> VerifyAudit() override;
  absl::StatusOr<AuditHead> GetAuditHead() override;
  absl::StatusOr<AuditSpan> ExportAudit(uint64_t from, uint64_t to, std::optional<absl::Time> since,
                                        int limit) override;
  absl::StatusOr<int64_t> Sweep() override;
  absl::StatusOr<int64_t> KeepPartitions(const Retention& keep, absl::Time now) override;
  absl::StatusOr<StoredFigures> ReadFigures() override;
  PoolFigures Pool() const override { return pool_.Figures(); }
  absl::Status CheckSchema() override;
  absl::Status Listen(std::function<void(const std::string& sensor_id)> on_change) override;

 private:
  using Body = absl::FunctionRef<absl::Status(PgTransaction&)>;

  // Runs and commits; runs again when the database asked for that and nothing can have changed.
  absl::Status RunPg(Body body);
  // One attempt. `retryable` tells whether another may follow.
  absl::Status RunOnce(Body body, bool* retryable);
  // Tells the observer of a failure of the database; returns it.
  absl::Status Failed(const absl::Status& status) const;

  const std::string listen_connection_string_;
  const std::unique_ptr<TimelineFence> fence_;
  const size_t migrations_;  // how many this program has
  StoreObserver* const observer_;
  ConnectionPool pool_;
  std::unique_ptr<ChangeListener> listener_;
};

}  // namespace bulkhead::controlplane
