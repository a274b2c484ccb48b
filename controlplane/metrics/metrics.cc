// Names, help texts and buckets.
#include "controlplane/metrics/metrics.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "prometheus/text_serializer.h"

namespace bulkhead::controlplane {
namespace {

using prometheus::Histogram;
using prometheus::Labels;

// Seconds. A statement takes a fraction of a millisecond; beyond its limit of 60 s it is cancelled.
const Histogram::BucketBoundaries kStatementBuckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                       0.1,    0.25,  0.5,    1,     2.5,  10};
const Histogram::BucketBoundaries kCallBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                  0.25,  0.5,    1,     2.5,  5,     10};
// From "a sensor that is connected" to "one that came back the next day".
const Histogram::BucketBoundaries kEnforcedBuckets = {0.025, 0.05, 0.1, 0.25, 0.5, 1,    2.5,
                                                      5,     10,   30,  60,   300, 3600, 86400};

const char* Word(PolicyTemplate policy_template) {
  switch (policy_template) {
    case PolicyTemplate::kNetworkContainment:
      return "network-containment";
    case PolicyTemplate::kNetworkIsolation:
      return "network-isolation";
    case PolicyTemplate::kBlockBinary:
      return "block-binary";
    case PolicyTemplate::kAllowList:
      return "allow-list";
  }
  return "unknown";
}

// The labels that every gRPC library's metrics have.
Labels CallLabels(const std::string& path, bool stream) {
  const std::vector<std::string> parts = absl::StrSplit(absl::StripPrefix(path, "/"), '/');
  return {{"grpc_type", stream ? "stream" : "unary"}, {"grpc_service", parts.front()}, {"grpc_method", parts.back()}};
}

// What is not in the figures any more is 0, not what it was before.
void SetAll(prometheus::Family<prometheus::Gauge>& family, const std::map<std::string, int64_t>& figures,
            std::initializer_list<const char*> words) {
  for (const char* word : words) {
    const auto found = figures.find(word);
    family.Add({{"state", word}}).Set(found == figures.end() ? 0 : static_cast<double>(found->second));
  }
}

void SetAll(prometheus::Family<prometheus::Gauge>& family, const std::string& label,
            const std::map<std::string, int64_t>& figures) {
  for (const auto& [word, count] : figures) family.Add({{label, word}}).Set(static_cast<double>(count));
}

}  // namespace

Metrics::Metrics()
    : orders_(Counters("bulkhead_orders_total",
                       "Orders accepted and stored, by the action in the audit log; a repeated order counts once.")),
      enforced_seconds_(Histograms("bulkhead_order_enforced_seconds",
                                   "From the moment an order was accepted to the one at which the first receipt that "
                                   "shows its policy in force was stored, by the database's clock.")),
      calls_started_(Counters("grpc_server_started_total", "Calls that began.")),
      calls_handled_(Counters("grpc_server_handled_total", "Calls that ended, by their code.")),
      call_seconds_(Histograms("grpc_server_handling_seconds", "How long unary calls took.")),
      streams_refused_(Counters("bulkhead_sensor_streams_refused_total",
                                "Sensor streams that were refused at the door, by reason.")),
      streams_ended_(Counters("bulkhead_sensor_streams_ended_total", "Sensor streams that ended, by reason.")),
      connections_(Counters("bulkhead_connections_total", "Connections that were accepted or, too many, reset.")),
      statement_seconds_(Histograms("bulkhead_database_statement_seconds", "How long statements took, by operation.")),
      database_errors_(Counters("bulkhead_database_errors_total",
                                "Transactions that the database failed, by code; most are tried again.")),
      notifications_(
          Counters("bulkhead_notifications_total", "Changes that the database told this replica of.").Add({})),
      heartbeats_(Counters("bulkhead_heartbeats_total", "Heartbeats stored.").Add({})),
      kernel_drops_(
          Counters("bulkhead_sensor_packets_dropped_total", "Packets that walls on the sensors connected here dropped.")
              .Add({})),
      kernel_failures_(Counters("bulkhead_sensor_hook_failures_total",
                                "Times that a kernel program on a sensor connected here could not do its work.")
                           .Add({})),
      sweeps_(Counters("bulkhead_sweeps_total", "Sweeps over this replica's streams.").Add({})),
      sweeps_stale_(Counters("bulkhead_sweeps_stale_total",
                             "Streams that a sweep found to have missed something: lost notifications.")
                        .Add({})),
      sensors_health_(Gauges("bulkhead_fleet_sensors_health", "Sensors by health, but for the disabled ones.")),
      sensors_convergence_(
          Gauges("bulkhead_fleet_sensors_convergence", "Sensors by convergence, but for the disabled ones.")),
      sensors_trust_(Gauges("bulkhead_fleet_sensors_trust", "Sensors by trust.")),
      sensors_connected_(Gauges("bulkhead_fleet_sensors_connected", "Sensors with a stream at any replica.").Add({})),
      sensors_disabled_(Gauges("bulkhead_fleet_sensors_disabled", "Sensors that are disabled.").Add({})),
      sensors_contained_(
          Gauges("bulkhead_fleet_sensors_contained", "Sensors for which containment is ordered.").Add({})),
      sensors_isolated_(Gauges("bulkhead_fleet_sensors_isolated", "Sensors for which isolation is ordered.").Add({})),
      policies_(Gauges("bulkhead_fleet_policies",
                       "Enforcement policies by template, and whether a receipt has shown them in force.")),
      open_commands_(Gauges("bulkhead_fleet_open_commands", "Commands without a result, by state.")),
      finished_commands_(Gauges("bulkhead_fleet_finished_commands", "Commands that ended in the last hour, by state.")),
      rollouts_(Gauges("bulkhead_fleet_rollouts", "Rollouts by state.")),
      rollout_targets_(Gauges("bulkhead_fleet_rollout_targets", "Sensors of rollouts that have not ended, by state.")),
      replicas_(Gauges("bulkhead_fleet_replicas", "Replicas whose lease lasts.").Add({})),
      audit_head_(Gauges("bulkhead_fleet_audit_sequence", "Sequence of the last audit record.").Add({})),
      fleet_read_at_(Gauges("bulkhead_fleet_read_timestamp_seconds",
                            "When the bulkhead_fleet_ figures were read from the database.")
                         .Add({})),
      certificate_expiry_(Gauges("bulkhead_certificate_expiry_timestamp_seconds",
                                 "When the server's certificate, and the first of the CA's, run out.")) {
  for (const PolicyTemplate policy_template : {PolicyTemplate::kNetworkContainment, PolicyTemplate::kNetworkIsolation,
                                               PolicyTemplate::kBlockBinary, PolicyTemplate::kAllowList}) {
    enforced_seconds_.Add({{"template", Word(policy_template)}}, kEnforcedBuckets);
  }
  // So that a rate over them is 0 before the first, not missing.
  for (const char* code : {"UNAVAILABLE", "ABORTED", "UNKNOWN", "INTERNAL"}) database_errors_.Add({{"code", code}});
  for (const char* outcome : {"accepted", "refused"}) connections_.Add({{"outcome", outcome}});
}

prometheus::Family<prometheus::Counter>& Metrics::Counters(const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
}

prometheus::Family<prometheus::Gauge>& Metrics::Gauges(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
}

prometheus::Family<prometheus::Histogram>& Metrics::Histograms(const std::string& name, const std::string& help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
}

void Metrics::OnStatement(absl::string_view operation, absl::Duration time) {
  statement_seconds_.Add({{"operation", std::string(operation)}}, kStatementBuckets)
      .Observe(absl::ToDoubleSeconds(time));
}

void Metrics::OnFailure(absl::StatusCode code) {
  database_errors_.Add({{"code", absl::StatusCodeToString(code)}}).Increment();
}

void Metrics::OnAudited(const std::string& action, const std::string& outcome) {
  orders_.Add({{"action", action}, {"outcome", outcome}}).Increment();
}

void Metrics::OnNotification() {
  notifications_.Increment();
}

void Metrics::OnCallStarted(const std::string& path, bool stream) {
  calls_started_.Add(CallLabels(path, stream)).Increment();
}

void Metrics::OnCallEnded(const EndedCall& call) {
  Labels labels = CallLabels(call.path, call.stream);
  if (!call.stream) call_seconds_.Add(labels, kCallBuckets).Observe(absl::ToDoubleSeconds(call.duration));
  labels["grpc_code"] = call.code;
  calls_handled_.Add(labels).Increment();
  if (call.path != "/bulkhead.v1.SensorLinkService/Connect") return;
  (call.admitted ? streams_ended_ : streams_refused_).Add({{"reason", call.reason}}).Increment();
}

void Metrics::OnHeartbeat() {
  heartbeats_.Increment();
}

void Metrics::OnEnforced(PolicyTemplate policy_template, absl::Duration since_order) {
  enforced_seconds_.Add({{"template", Word(policy_template)}}, kEnforcedBuckets)
      .Observe(std::max(0.0, absl::ToDoubleSeconds(since_order)));
}

void Metrics::OnKernelCounters(uint64_t drops, uint64_t failures) {
  kernel_drops_.Increment(static_cast<double>(drops));
  kernel_failures_.Increment(static_cast<double>(failures));
}

void Metrics::OnSweep(size_t stale) {
  sweeps_.Increment();
  sweeps_stale_.Increment(static_cast<double>(stale));
}

void Metrics::OnConnection(bool accepted) {
  connections_.Add({{"outcome", accepted ? "accepted" : "refused"}}).Increment();
}

void Metrics::SetFleet(const SensorFigures& sensors, const StoredFigures& stored, absl::Time time) {
  SetAll(sensors_health_, "health", sensors.by_health);
  SetAll(sensors_convergence_, "convergence", sensors.by_convergence);
  SetAll(sensors_trust_, "trust", sensors.by_trust);
  sensors_connected_.Set(static_cast<double>(sensors.connected));
  sensors_disabled_.Set(static_cast<double>(sensors.disabled));
  sensors_contained_.Set(static_cast<double>(sensors.contained));
  sensors_isolated_.Set(static_cast<double>(sensors.isolated));
  for (const char* name : {"network-containment", "network-isolation", "block-binary", "allow-list"}) {
    for (const char* state : {"enforced", "pending"}) {
      const auto found = stored.policies.find({name, state});
      policies_.Add({{"template", name}, {"state", state}})
          .Set(found == stored.policies.end() ? 0 : static_cast<double>(found->second));
    }
  }
  SetAll(open_commands_, stored.open_commands, {"queued", "delivered"});
  SetAll(finished_commands_, stored.finished_commands, {"succeeded", "failed", "expired"});
  SetAll(rollouts_, stored.rollouts, {"running", "halted", "done", "cancelled"});
  SetAll(rollout_targets_, stored.open_rollout_targets, {"pending", "ordered", "enforced", "failed"});
  replicas_.Set(static_cast<double>(stored.replicas));
  audit_head_.Set(static_cast<double>(stored.audit_head));
  fleet_read_at_.Set(absl::ToDoubleSeconds(time - absl::UnixEpoch()));
}

void Metrics::SetCertificateExpiry(const std::string& which, absl::Time not_after) {
  certificate_expiry_.Add({{"certificate", which}}).Set(absl::ToDoubleSeconds(not_after - absl::UnixEpoch()));
}

void Metrics::AddSampled(const std::string& name, const std::string& help, const Labels& labels,
                         std::function<double()> value) {
  prometheus::Gauge& gauge = Gauges(name, help).Add(labels);
  absl::MutexLock lock(&mutex_);
  sampled_.emplace_back(&gauge, std::move(value));
}

std::string Metrics::Text() {
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [gauge, value] : sampled_) gauge->Set(value());
  }
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace bulkhead::controlplane
