// How long orders take: to one sensor, to many, and to all.
#include "bench/fleet/orders.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/fleet/usage.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"

namespace bulkhead::bench {
namespace {

using e2e::Applied;
using e2e::Clock;
using e2e::Cluster;
using e2e::History;
using e2e::SimFleet;

constexpr auto kFanOutLimit = std::chrono::minutes(5);
constexpr auto kOrderLimit = std::chrono::seconds(10);
constexpr auto kConnectLimit = std::chrono::seconds(30);
constexpr int kOrders = 300;
constexpr int kBulkAtOnce = 100;

// A connection that is up, so that the first order is not a handshake too.
std::shared_ptr<grpc::Channel> ConnectedOperator(const Cluster& cluster) {
  auto channel = cluster.OperatorChannel(0);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kConnectLimit))
    throw std::runtime_error("the operator could not connect");
  return channel;
}

// One order for many: from the operator's call until every host enforces it.
void MeasureRollout(Cluster& cluster, const char* what, const v1::CreateRolloutRequest& request) {
  const auto stub = v1::RolloutService::NewStub(ConnectedOperator(cluster));
  const Usage before = UsageOf(cluster.replica(0).pid());
  v1::CreateRolloutResponse created;
  grpc::ClientContext create_context;
  const auto began = Clock::now();
  const grpc::Status status = stub->CreateRollout(&create_context, request, &created);
  if (!status.ok()) throw std::runtime_error("a rollout was refused: " + status.error_message());
  v1::WatchRolloutRequest watch;
  watch.set_id(created.rollout().id());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kFanOutLimit);
  const auto reader = stub->WatchRollout(&context, watch);
  v1::WatchRolloutResponse now;
  while (reader->Read(&now)) {
  }
  reader->Finish();
  const double seconds = Seconds(Clock::now() - began);
  const double enforced = now.rollout().enforced();
  printf("%-46s %.1f s, %.0f a second, %.0f enforced, %u failed; server's processor for one, ms: %.2f\n", what, seconds,
         enforced / seconds, enforced, now.rollout().failed(),
         (UsageOf(cluster.replica(0).pid()).cpu_seconds - before.cpu_seconds) * 1e3 / enforced);
}

// Whether, and when, this host contained itself, in what was recorded after the first `seen`.
std::optional<Clock::time_point> WhenContained(const History& history, size_t seen, const std::string& sensor_id) {
  for (const Applied& applied : history.applied(seen)) {
    if (applied.sensor_id == sensor_id && applied.enforced.contained) return applied.when;
  }
  return std::nullopt;
}

}  // namespace

void MeasureOrders(const Cluster& cluster, const SimFleet& fleet, const History& history) {
  const auto stub = v1::SensorService::NewStub(ConnectedOperator(cluster));
  std::mt19937_64 random(1);
  std::vector<double> millis;
  for (int i = 0; i < kOrders; ++i) {
    v1::ContainSensorRequest request;
    request.set_sensor(fleet.identity(random() % fleet.size()).sensor_id);
    v1::ContainSensorResponse response;
    grpc::ClientContext context;
    const size_t seen = history.applied_count();
    const auto began = Clock::now();
    context.set_deadline(std::chrono::system_clock::now() + kOrderLimit);
    const grpc::Status status = stub->ContainSensor(&context, request, &response);
    if (!status.ok()) throw std::runtime_error("an order was refused: " + status.error_message());
    if (response.already_contained()) continue;
    std::optional<Clock::time_point> in_force = WhenContained(history, seen, request.sensor());
    for (; !in_force && Clock::now() - began < kOrderLimit; in_force = WhenContained(history, seen, request.sensor()))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!in_force) throw std::runtime_error("an order did not reach its host");
    millis.push_back(Seconds(*in_force - began) * 1e3);
  }
  printf("%-46s p50 %.2f  p99 %.2f  n=%zu\n", "order -> in force on the host, ms", Percentile(millis, 50),
         Percentile(millis, 99), millis.size());
}

void MeasureBulk(Cluster& cluster) {
  v1::CreateRolloutRequest request;
  request.set_label_selector("bulk=yes");
  request.mutable_order()->mutable_contain();
  request.mutable_limits()->set_max_in_flight(kBulkAtOnce);
  MeasureRollout(cluster, "contain by selector, 100 at once", request);
}

void MeasureRules(Cluster& cluster, const SimFleet& fleet, const History& history, double raw_micros) {
  v1::CreateRolloutRequest isolate;
  isolate.set_all_sensors(true);
  isolate.mutable_order()->mutable_isolate();
  isolate.mutable_limits()->set_max_in_flight(1000);
  MeasureRollout(cluster, "isolate every sensor, 1000 at once", isolate);
  const auto stub = v1::IsolationRuleService::NewStub(ConnectedOperator(cluster));
  const size_t seen = history.applied_count();
  const Usage before = UsageOf(cluster.replica(0).pid());
  v1::CreateIsolationRuleRequest request;
  request.mutable_rule()->set_address("203.0.113.0/24");
  request.mutable_rule()->set_direction(v1::DIRECTION_OUTBOUND);
  v1::CreateIsolationRuleResponse response;
  grpc::ClientContext context;
  const auto began = Clock::now();
  const grpc::Status status = stub->CreateIsolationRule(&context, request, &response);
  if (!status.ok()) throw std::runtime_error("a rule was refused: " + status.error_message());
  const double answered = Seconds(Clock::now() - began);
  const bool all = e2e::Eventually(kFanOutLimit, [&] { return history.applied_count() >= seen + fleet.size(); });
  const Usage after = UsageOf(cluster.replica(0).pid());
  std::vector<double> millis;
  for (const Applied& applied : history.applied(seen)) millis.push_back(Seconds(applied.when - began) * 1e3);
  printf("%-46s answered after %.0f ms; at the hosts p50 %.0f  p99 %.0f ms, %zu of %zu%s\n",
         "an isolation rule for every sensor", answered * 1e3, Percentile(millis, 50), Percentile(millis, 99),
         millis.size(), fleet.size(), all ? "" : ", NOT ALL");
  // A push and an acknowledgement are two messages.
  Print("server's processor for a rule at a host, us",
        (after.cpu_seconds - before.cpu_seconds) * 1e6 / static_cast<double>(fleet.size()), 2 * raw_micros);
}

}  // namespace bulkhead::bench
