// Short ways to put sensors into a store and give orders, for the tests.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/uuid.h"
#include "controlplane/orders/orders.h"
#include "controlplane/store/store.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane::test {

inline OrderContext By(const std::string& actor, const std::string& request_id = "", const std::string& etag = "") {
  OrderContext context;
  context.actor = actor;
  context.request_id = request_id;
  context.etag = etag;
  return context;
}

// Runs an order in a transaction of its own and returns what it returned.
template <typename Order>
auto Give(Store& store, Order order) -> decltype(order(std::declval<Transaction&>())) {
  decltype(order(std::declval<Transaction&>())) out = absl::UnknownError("not run");
  const absl::Status status = store.Run([&](Transaction& tx) {
    out = order(tx);
    return bulkhead::test::StatusOf(out);
  });
  if (!status.ok()) return status;
  return out;
}

inline orders::TokenCreated MakeTokenFor(Store& store, const orders::TokenOrder& order) {
  auto token = Give(store, [&](Transaction& tx) { return orders::CreateToken(tx, By("admin"), order, absl::Now()); });
  REQUIRE_OK(token);
  return *token;
}

inline orders::TokenCreated MakeToken(Store& store, const std::string& reenroll = "", const Labels& labels = {}) {
  return MakeTokenFor(store, {.label = "test", .ttl = {}, .reenroll_sensor = reenroll, .sensor_labels = labels});
}

inline Sensor Enroll(Store& store, const std::string& name, const Labels& labels = {}) {
  const std::string secret = MakeToken(store, "", labels).secret;
  auto sensor =
      Give(store, [&](Transaction& tx) { return orders::Enroll(tx, secret, name, "192.0.2.1", absl::Now()); });
  REQUIRE_OK(sensor);
  return *sensor;
}

// A stream of the sensor at a replica that lives for an hour.
inline Ownership OpenStream(Store& store, const std::string& sensor_id, const std::string& run_id = NewUuid()) {
  REQUIRE_OK(store.RenewReplica(run_id, "replica-of-" + run_id, absl::Hours(1)));
  auto owner = store.OpenSession(sensor_id, run_id);
  REQUIRE_OK(owner);
  return *owner;
}

inline Sensor Read(Store& store, const std::string& reference) {
  auto sensor = Give(store, [&](Transaction& tx) { return tx.GetSensor(reference, false); });
  REQUIRE_OK(sensor);
  return *sensor;
}

inline absl::StatusOr<orders::PolicyOrdered> Contain(Store& store, const std::string& sensor,
                                                     const OrderContext& context = By("olga"),
                                                     PolicyAction action = PolicyAction::kDeny) {
  return Give(store, [&](Transaction& tx) { return orders::ContainSensor(tx, context, sensor, {.action = action}); });
}

inline absl::StatusOr<orders::PolicyOrdered> Isolate(Store& store, const std::string& sensor) {
  return Give(store, [&](Transaction& tx) { return orders::IsolateSensor(tx, By("olga"), sensor, {}); });
}

inline absl::StatusOr<Command> Kill(Store& store, const std::string& sensor, uint32_t pid,
                                    absl::Duration ttl = absl::Minutes(5), absl::Time now = absl::Now()) {
  ProcessIdentity process;
  process.pid = pid;
  return Give(store, [&](Transaction& tx) { return orders::KillProcess(tx, By("olga"), sensor, process, ttl, now); });
}

}  // namespace bulkhead::controlplane::test
