// Transactions: begin, run, commit, and again when the database asks for it.
#include "controlplane/store/pg_store.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/migrations.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kAttempts = 6;
constexpr absl::Duration kFirstPause = absl::Milliseconds(5);

// Doubles with each attempt, with jitter so that two that collided do not collide again.
void Pause(int attempt) {
  const int jitter = 50 + static_cast<unsigned char>(RandomBytes(1)[0]) % 100;
  absl::SleepFor(kFirstPause * (1 << attempt) * jitter / 100);
}

// The stored answer to an order that was given before; no value when this transaction is the first to give it. The lock
// makes the commit wait for the synchronous standby: after a crash the primary shows what was committed there and never
// reached the standby, and who repeats the order must not be told that it is safe.
absl::StatusOr<std::optional<std::string>> StoredAnswer(PgTransaction& tx, const OrderContext& context,
                                                        const std::string& fingerprint) {
  // A duplicate that is still running makes this insert wait for its end.
  ASSIGN_OR_RETURN(const pqxx::result first,
                   tx.Execute("claim a request id",
                              "INSERT INTO order_requests (actor, request_id, fingerprint) VALUES ($1, $2, $3)"
                              " ON CONFLICT ON CONSTRAINT order_requests_pkey DO NOTHING",
                              context.actor, context.request_id, Bytes(fingerprint)));
  if (first.affected_rows() == 1) return std::nullopt;
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   tx.Execute("read a stored answer",
                              "SELECT fingerprint, answer FROM order_requests WHERE actor = $1 AND request_id = $2"
                              " FOR NO KEY UPDATE",
                              context.actor, context.request_id));
  if (rows.empty()) return absl::AbortedError("the stored answer was removed just now; repeat the call");
  if (BytesFrom(rows.front()[0]) != fingerprint) return RequestIdReused(context.request_id);
  return BytesFrom(rows.front()[1]);
}

}  // namespace

absl::Status PgTransaction::Attempt(absl::FunctionRef<absl::Status()> body) {
  RETURN_IF_ERROR(Execute("begin an attempt", "SAVEPOINT attempt").status());
  const bool rules_locked = rules_locked_;
  const bool rules_locked_exclusively = rules_locked_exclusively_;
  const size_t audited = audited_.size();
  absl::Status status = body();
  if (!failure_.status.ok()) {
    // The connection or the whole transaction is lost; nothing goes on from here.
    if (failure_.retryable || absl::IsUnavailable(failure_.status) || absl::IsUnknown(failure_.status)) {
      return failure_.status;
    }
    status = std::exchange(failure_, PgFailure()).status;
  }
  if (status.ok()) return Execute("end an attempt", "RELEASE SAVEPOINT attempt").status();
  audited_.resize(audited);
  // Locks that were taken in between are given back.
  rules_locked_ = rules_locked;
  rules_locked_exclusively_ = rules_locked_exclusively;
  RETURN_IF_ERROR(Execute("undo an attempt", "ROLLBACK TO SAVEPOINT attempt").status());
  return status;
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const Options& options) {
  std::vector<Migration> migrations = EmbeddedMigrations();
  if (!options.migrations_directory.empty()) {
    ASSIGN_OR_RETURN(migrations, ReadMigrations(options.migrations_directory));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<TimelineFence> fence, TimelineFence::Load(options.timeline_file));
  RETURN_IF_ERROR(Migrate(options.connection_string, migrations, fence.get()));
  return std::unique_ptr<Store>(std::make_unique<PgStore>(options, std::move(fence), migrations.size()));
}

absl::Status PgStore::Run(absl::FunctionRef<absl::Status(Transaction&)> body) {
  return RunPg([&](PgTransaction& tx) { return body(tx); });
}

absl::StatusOr<std::string> PgStore::RunOrder(const OrderContext& context, const std::string& fingerprint,
                                              absl::FunctionRef<absl::StatusOr<std::string>(Transaction&)> body) {
  // Hashed, so that the column's size does not depend on the request's.
  const std::string print = Sha256(fingerprint);
  std::string answer;
  const auto order = [&](PgTransaction& tx) -> absl::Status {
    if (!context.request_id.empty()) {
      ASSIGN_OR_RETURN(std::optional<std::string> stored, StoredAnswer(tx, context, print));
      if (stored.has_value()) {
        answer = *std::move(stored);
        return absl::OkStatus();
      }
    }
    ASSIGN_OR_RETURN(answer, body(tx));
    if (context.request_id.empty()) return absl::OkStatus();
    return tx
        .Execute("store an answer", "UPDATE order_requests SET answer = $3 WHERE actor = $1 AND request_id = $2",
                 context.actor, context.request_id, Bytes(answer))
        .status();
  };
  absl::Status status = RunPg(order);
  // With a request id, asking again is safe and tells what became of a commit that nobody saw the end of.
  if (absl::IsUnknown(status) && !context.request_id.empty()) status = RunPg(order);
  if (!status.ok()) return status;
  return answer;
}

absl::Status PgStore::RunPg(Body body) {
  for (int attempt = 0;; ++attempt) {
    bool retryable = false;
    absl::Status status = RunOnce(body, &retryable);
    if (status.ok() || !retryable || attempt + 1 == kAttempts) return status;
    // The other idle connections broke with this one.
    if (absl::IsUnavailable(status)) pool_.DropIdle();
    Pause(attempt);
  }
}

absl::Status PgStore::RunOnce(Body body, bool* retryable) {
  absl::StatusOr<ConnectionPool::Lease> connection = pool_.Acquire();
  if (!connection.ok()) return Failed(connection.status());
  try {
    pqxx::work work(connection->get());
    PgTransaction tx(work, observer_);
    const absl::Status status = body(tx);
    // A failed statement dooms the transaction, whatever the body made of it: committing would silently roll back.
    if (!tx.failure().status.ok()) {
      *retryable = tx.failure().retryable;
      return Failed(tx.failure().status);
    }
    if (!status.ok()) return status;
    {
      const StatementTimer timer(observer_, "commit");
      work.commit();
    }
    tx.TellCommitted();
    return absl::OkStatus();
  } catch (...) {
    const PgFailure failure = FailureFromCurrentException("run a database transaction");
    *retryable = failure.retryable;
    return Failed(failure.status);
  }
}

absl::Status PgStore::Failed(const absl::Status& status) const {
  if (observer_) observer_->OnFailure(status.code());
  return status;
}

absl::Status PgStore::Listen(std::function<void(const std::string& sensor_id)> on_change) {
  if (listener_ != nullptr) return absl::FailedPreconditionError("Listen may be called once");
  const auto tell = [this, told = std::move(on_change)](const std::string& changed) {
    if (observer_) observer_->OnNotification();
    told(changed);
  };
  ASSIGN_OR_RETURN(listener_, ChangeListener::Start(listen_connection_string_, tell, fence_.get()));
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
