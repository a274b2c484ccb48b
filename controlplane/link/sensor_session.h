// The protocol of one sensor's stream: hello first, then heartbeats, results and renewals in, desired state and
// commands out.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/sensor_link.pb.h"
#include "common/clock.h"
#include "controlplane/link/held_certificate.h"
#include "controlplane/link/link_observer.h"
#include "controlplane/pki/pki.h"
#include "controlplane/rpc/method_table.h"
#include "controlplane/rpc/strand.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

class SensorHub;

// What every session works with; outlives them all.
struct LinkContext {
  Store* store = nullptr;
  CertificateAuthority* authority = nullptr;
  const Clock* clock = nullptr;
  WorkerPool* workers = nullptr;
  std::string replica_id;  // name, for the sensor's log
  std::string run_id;      // UUID of this run of the replica: what holds streams in the database
  absl::Duration heartbeat_interval = absl::Seconds(30);
  absl::Duration certificate_life = absl::Hours(24 * 30);
  // A stream that is so old is ended, give or take a tenth, so that sensors spread over replicas that were added.
  absl::Duration max_stream_age = absl::Hours(6);
  // Streams that this replica holds at most; 122 KB each were measured.
  size_t max_streams = 20'000;
  // Events of one kind that are stored for a sensor in a day.
  uint64_t event_limit = 10'000;
  // Called on a worker after something that a sensor reported was stored; tells this replica's watchers without a
  // database round trip.
  std::function<void(const std::string& sensor_id)> on_report;
  // Called on a worker after events were stored.
  std::function<void()> on_events = [] {};
  LinkObserver* observer = nullptr;  // null: nobody counts
};

// One stream of one sensor. gRPC and the hub only leave notes (a message, "something changed"); one worker at a time
// acts on them, so everything below "on the worker" needs no lock. At most one message of the sensor is held at a time:
// the next is asked for when it is done.
class SensorSession final : public StreamHandler, public std::enable_shared_from_this<SensorSession> {
 public:
  SensorSession(const LinkContext* context, SensorHub* hub, const Caller& caller,
                std::shared_ptr<StreamSession> stream);

  void OnMessage(std::string bytes) override;
  void OnPeerDone() override;
  void OnDrained() override {}
  void OnEnded() override;

  // The sensor's rows may have changed: look, and send what differs. Cheap; thread safe.
  void Refresh();
  // Says goodbye and ends the stream. Thread safe.
  void End(v1::GoodbyeReason reason, const absl::Status& status);
  // Ends a stream that did not say hello in time, is too old, outlived its certificate, or whose peer does not take its
  // goodbye. Called about four times a second. Thread safe.
  void Tick();

  const std::string& sensor_id() const { return identity_.id; }
  // Messages that wait to be written. Thread safe.
  size_t queued() const { return stream_->queued(); }
  // Generation that the sensor was last sent, or reported to have. Thread safe.
  uint64_t known_generation() const { return known_generation_; }
  // What fences its writes; 0 before the hello was stored. Thread safe.
  int64_t epoch() const { return epoch_; }

 private:
  // Has Step run on a worker.
  void Wake();

  // Everything from here runs on the worker.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);
  void HandleMessage(const std::string& bytes);
  absl::Status Dispatch(const v1::ConnectRequest& request);
  absl::Status HandleHello(const v1::Hello& hello);
  absl::Status HandleHeartbeat(const v1::Heartbeat& heartbeat);
  absl::Status HandlePolicyStatus(const v1::PolicyStatus& status);
  absl::Status HandleCommandResult(const v1::CommandResult& result);
  absl::Status HandleEvents(const v1::EventBatch& batch);
  // Stores and acknowledges them, or keeps them for RetryEvents.
  absl::Status StoreEvents(EventBatch events);
  void RetryEvents();
  absl::Status HandleRenewal(const v1::RenewCertificate& renewal);
  absl::StatusOr<OrderedState> StoreReport(const v1::ObservedState& observed, SensorReport report, bool heartbeat);
  // Whether it says what the last report said, but for counters, and the sensor has what it was sent: then it can wait
  // for a batch, because nobody's order waits for it.
  bool IsPlain(const SensorReport& report) const;
  void CollectHeartbeat(uint64_t sequence, std::string observed);
  absl::Status AnswerCollected(uint64_t sequence, const absl::StatusOr<OrderedState>& ordered);
  absl::Status AnswerHeartbeat(uint64_t sequence, const absl::StatusOr<OrderedState>& ordered);
  // Has the policies that this report is the first receipt for marked and counted.
  void RecordEnforced(const v1::ObservedState& observed, const SensorReport& report);
  void CountKernelCounters(const v1::ObservedState& observed);
  void AnswerUnchanged(uint64_t sequence);
  // Whether the sensor was sent, or reported, just this.
  bool Knows(const OrderedState& ordered) const;
  // Reads what the sensor lacks. Commands that were queued are marked delivered.
  struct Missing {
    DesiredState desired;  // generation 0: the sensor knows it
    std::vector<Command> commands;
  };
  absl::StatusOr<Missing> ReadMissing();
  void SendCommands(std::vector<Command> open);
  Ownership owner() const { return {.sensor_id = sensor_id(), .epoch = epoch_}; }
  // Answers heartbeat `sequence`, or, with 0, pushes the desired state if the sensor does not have it; then sends open
  // commands.
  absl::Status Synchronize(uint64_t sequence);
  // Unauthenticated when the identity was withdrawn.
  absl::Status CheckTrust(const absl::StatusOr<OrderedState>& ordered) const;
  absl::Status CheckTrust(const absl::Status& stored) const;
  void Send(const v1::ConnectResponse& response);
  void Fail(const absl::Status& status);
  void Leave();

  const LinkContext* const context_;
  SensorHub* const hub_;
  const PeerIdentity identity_;
  const std::shared_ptr<StreamSession> stream_;
  const absl::Time opened_at_;
  const absl::Time ends_at_;  // by age
  std::atomic<bool> hello_done_ = false;
  std::atomic<uint64_t> known_generation_ = 0;
  std::atomic<int64_t> epoch_ = 0;
  std::atomic<bool> events_wait_ = false;               // unstored_events_ is set
  absl::Time next_event_retry_ = absl::InfinitePast();  // on the hub's ticking thread only

  Strand strand_;
  // Notes that Step acts on.
  absl::Mutex mutex_;
  std::optional<std::string> message_ ABSL_GUARDED_BY(mutex_);
  // A collected heartbeat was stored, or was not: its sequence and the answer.
  std::optional<std::pair<uint64_t, absl::StatusOr<OrderedState>>> collected_ ABSL_GUARDED_BY(mutex_);
  bool refresh_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  // On the worker only.
  std::string known_digest_;
  v1::HostInfo host_;
  v1::Capabilities capabilities_;
  uint64_t reports_ = 0;  // of this stream
  // The last report that said everything, without its blobs; none once it is known to be lost.
  std::optional<SensorReport> last_said_;
  uint64_t last_whole_ = 0;  // its number
  bool collecting_ = false;  // one heartbeat is in the batcher
  std::string event_run_id_;
  bool event_runs_known_ = false;  // the sensor names its runs
  // The database did not take them; nothing more is read from the sensor until it has. One batch, so bounded.
  std::optional<EventBatch> unstored_events_;
  std::set<std::string> commands_sent_;
  HeldCertificate certificate_;
  uint64_t enforced_generation_ = 0;  // the last whose policies were marked
  bool enforced_untold_ = false;      // ... and the database could not take the next
  bool counted_ = false;              // whether the two below are of this stream
  uint64_t drops_ = 0;
  uint64_t failures_ = 0;
};

}  // namespace bulkhead::controlplane
