// Every metric of the control plane: its name, its meaning, its labels.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controlplane/domain/fleet_figures.h"
#include "controlplane/link/link_observer.h"
#include "controlplane/rpc/call_observer.h"
#include "controlplane/store/store_observer.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace bulkhead::controlplane {

// Counts what the layers below tell it, and shows it in Prometheus' text format. Labels hold words of the code (an RPC,
// a state, a reason), never what a sensor or a caller sent, so their number is bounded. Thread safe.
//
// What this process did are counters and histograms: sum them over replicas. What the database holds (bulkhead_fleet_…)
// is the same at every replica: take the max over them.
class Metrics final : public StoreObserver, public CallObserver, public LinkObserver {
 public:
  Metrics();

  // From the store.
  void OnStatement(absl::string_view operation, absl::Duration time) override;
  void OnFailure(absl::StatusCode code) override;
  void OnAudited(const std::string& action, const std::string& outcome) override;
  void OnNotification() override;

  // From every call.
  void OnCallStarted(const std::string& path, bool stream) override;
  void OnCallEnded(const EndedCall& call) override;

  // From sensor streams.
  void OnHeartbeat() override;
  void OnEnforced(PolicyTemplate policy_template, absl::Duration since_order) override;
  void OnKernelCounters(uint64_t drops, uint64_t failures) override;
  void OnSweep(size_t stale) override;

  // A connection at the door: "accepted", or "refused" for its address or for all came too many.
  void OnConnection(bool accepted);

  // What the database held at `time`.
  void SetFleet(const SensorFigures& sensors, const StoredFigures& stored, absl::Time time);
  // `which` is "server" or "ca".
  void SetCertificateExpiry(const std::string& which, absl::Time not_after);

  // A gauge that is asked for its value when somebody looks; `value` must not block.
  void AddSampled(const std::string& name, const std::string& help, const prometheus::Labels& labels,
                  std::function<double()> value) ABSL_LOCKS_EXCLUDED(mutex_);

  // Everything, in Prometheus' text format.
  std::string Text() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  prometheus::Family<prometheus::Counter>& Counters(const std::string& name, const std::string& help);
  prometheus::Family<prometheus::Gauge>& Gauges(const std::string& name, const std::string& help);
  prometheus::Family<prometheus::Histogram>& Histograms(const std::string& name, const std::string& help);

  prometheus::Registry registry_;

  prometheus::Family<prometheus::Counter>& orders_;
  prometheus::Family<prometheus::Histogram>& enforced_seconds_;

  prometheus::Family<prometheus::Counter>& calls_started_;
  prometheus::Family<prometheus::Counter>& calls_handled_;
  prometheus::Family<prometheus::Histogram>& call_seconds_;
  prometheus::Family<prometheus::Counter>& streams_refused_;
  prometheus::Family<prometheus::Counter>& streams_ended_;
  prometheus::Family<prometheus::Counter>& connections_;

  prometheus::Family<prometheus::Histogram>& statement_seconds_;
  prometheus::Family<prometheus::Counter>& database_errors_;
  prometheus::Counter& notifications_;

  prometheus::Counter& heartbeats_;
  prometheus::Counter& kernel_drops_;
  prometheus::Counter& kernel_failures_;
  prometheus::Counter& sweeps_;
  prometheus::Counter& sweeps_stale_;

  prometheus::Family<prometheus::Gauge>& sensors_health_;
  prometheus::Family<prometheus::Gauge>& sensors_convergence_;
  prometheus::Family<prometheus::Gauge>& sensors_trust_;
  prometheus::Gauge& sensors_connected_;
  prometheus::Gauge& sensors_disabled_;
  prometheus::Gauge& sensors_contained_;
  prometheus::Gauge& sensors_isolated_;
  prometheus::Family<prometheus::Gauge>& policies_;
  prometheus::Family<prometheus::Gauge>& open_commands_;
  prometheus::Family<prometheus::Gauge>& finished_commands_;
  prometheus::Family<prometheus::Gauge>& rollouts_;
  prometheus::Family<prometheus::Gauge>& rollout_targets_;
  prometheus::Gauge& replicas_;
  prometheus::Gauge& audit_head_;
  prometheus::Gauge& fleet_read_at_;
  prometheus::Family<prometheus::Gauge>& certificate_expiry_;

  absl::Mutex mutex_;
  std::vector<std::pair<prometheus::Gauge*, std::function<double()>>> sampled_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::controlplane
