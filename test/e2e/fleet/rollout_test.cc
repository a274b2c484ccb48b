// A rollout to simulated hosts by bulkheadctl: sensors that refuse halt it, a replica dies, resume finishes; and then
// what the control plane says is compared with what the hosts did.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "bulkhead/v1/rollout_service.pb.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"
#include "e2e/sandbox.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kConnectLimit = std::chrono::seconds(60);
constexpr auto kRolloutLimit = std::chrono::seconds(120);
constexpr int kMaxInFlight = 20;

struct Fleets {
  Cluster cluster{{.replicas = 2, .heartbeat_interval = "2s", .more_arguments = {}}};
  SimOptions options{.servers = {cluster.address(0), cluster.address(1)}};
  History history;
  std::vector<std::unique_ptr<SimFleet>> fleets;

  // A fleet that ends waits for the streams of all fleets of this process.
  ~Fleets() {
    for (const auto& fleet : fleets) fleet->PostToAll([](SimSensor& sensor) { sensor.Stop(); });
  }

  // Enrolls and connects `count` simulated sensors with these labels.
  void Add(const std::string& prefix, int count, const std::string& env, const SimOptions* how) {
    auto identities = EnrollSensors(cluster.OperatorChannel(0), prefix, count, {{"env", env}});
    fleets.push_back(std::make_unique<SimFleet>(how, std::move(identities), &history, fleets.size() * 1000 + 1));
    SimFleet& fleet = *fleets.back();
    REQUIRE(Eventually(kConnectLimit, [&] { return fleet.counts().connected == fleet.size(); }));
  }
  // bulkheadctl rollout …, at replica 1.
  Result Rollout(const Arguments& arguments) const {
    Arguments command = {Program("bulkheadctl"),
                         "--config",
                         cluster.operator_config(),
                         "--server",
                         cluster.address(1),
                         "-o",
                         "json",
                         "rollout"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Run(command, "", kRolloutLimit);
  }
  std::string Sql(const std::string& query) { return cluster.postgres().Query(query).out; }
};

template <typename Response>
Response Parse(const Result& result) {
  INFO(result.err);
  Response response;
  REQUIRE(google::protobuf::util::JsonStringToMessage(result.out, &response).ok());
  return response;
}

// What the control plane says of each sensor beside what its host did; empty when they agree.
std::vector<std::string> Problems(Fleets& fleets, const std::string& id) {
  std::map<std::string, int> contained;  // how often each host went into containment
  std::map<std::string, bool> is_now;
  for (const Applied& event : fleets.history.applied()) {
    if (event.enforced.contained && !is_now[event.sensor_id]) ++contained[event.sensor_id];
    is_now[event.sensor_id] = event.enforced.contained;
  }
  std::vector<std::string> problems;
  const auto targets = Parse<v1::ListRolloutTargetsResponse>(fleets.Rollout({"targets", id}));
  std::map<std::string, v1::RolloutTargetState> stated;
  for (const v1::RolloutTarget& target : targets.targets()) {
    stated[target.sensor_id()] = target.state();
    const bool enforced = target.state() == v1::ROLLOUT_TARGET_STATE_ENFORCED;
    if (contained[target.sensor_id()] != (enforced ? 1 : 0)) {
      problems.push_back(target.sensor_name() + " is " + v1::RolloutTargetState_Name(target.state()) +
                         ", and was contained " + std::to_string(contained[target.sensor_id()]) + " times");
    }
  }
  for (const auto& [sensor, times] : contained) {
    if (times > 0 && !stated.contains(sensor)) problems.push_back(sensor + " is in no rollout, and was contained");
  }
  const std::string twice = fleets.Sql(
      "SELECT count(*) FROM (SELECT target FROM audit_log WHERE action = 'sensor_contained' GROUP BY target"
      " HAVING count(*) > 1) AS more");
  if (std::stoi(twice) != 0) problems.push_back(twice + " sensors have more than one order in the audit log");
  return problems;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// The most sensors that were in flight at once, as seen by looking often.
class InFlightWatch {
 public:
  explicit InFlightWatch(Fleets& fleets)
      : thread_([this, &fleets] {
          while (!stop_) {
            const std::string seen = fleets.Sql("SELECT count(*) FROM rollout_targets WHERE state = 'ordered'");
            if (!seen.empty()) most_ = std::max(most_.load(), std::stoi(seen));
          }
        }) {}
  ~InFlightWatch() { Stop(); }
  int Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return most_;
  }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<int> most_ = 0;
  std::thread thread_;
};

TEST_CASE("200 sensors by selector: three that refuse halt it, a replica dies, resume finishes") {
  Fleets fleets;
  SimOptions refusing = fleets.options;
  refusing.planted = Planted::kRefusesOrders;
  fleets.Add("web-", 197, "prod", &fleets.options);
  // By name they come in the middle: after web-59, before web-6.
  fleets.Add("web-5x", 3, "prod", &refusing);
  fleets.Add("lab-", 5, "lab", &fleets.options);

  const Result dry = fleets.Rollout({"contain", "--selector", "env=prod", "--dry-run"});
  CHECK(Parse<v1::CreateRolloutResponse>(dry).rollout().pending() == 200);

  InFlightWatch watch(fleets);
  std::thread killer([&] {
    Eventually(kRolloutLimit, [&] {
      const std::string enforced = fleets.Sql("SELECT count(*) FROM rollout_targets WHERE state = 'enforced'");
      return !enforced.empty() && std::stoi(enforced) >= 40;
    });
    fleets.cluster.replica(0).Kill();
  });
  const auto began = Clock::now();
  const Result halted =
      fleets.Rollout({"contain", "--selector", "env=prod", "--max-in-flight", std::to_string(kMaxInFlight),
                      "--max-failures", "3", "--enforce-within", "5m", "--reason", "INC-42", "--wait"});
  killer.join();
  INFO(halted.err << fleets.cluster.Logs());
  REQUIRE(halted.exit_code == 4);
  const v1::Rollout at_halt = Parse<v1::CreateRolloutResponse>(halted).rollout();
  CHECK(at_halt.failed() == 3);
  CHECK(at_halt.pending() > 0);
  CHECK(at_halt.enforced() >= 40);
  const std::string id = at_halt.id();
  const auto failed = Parse<v1::ListRolloutTargetsResponse>(fleets.Rollout({"targets", id, "--state", "failed"}));
  REQUIRE(failed.targets_size() == 3);
  for (const v1::RolloutTarget& target : failed.targets()) {
    CHECK(target.sensor_name().rfind("web-5x", 0) == 0);
    CHECK(target.message() == "the sensor could not apply it: this host refuses orders");
  }

  fleets.cluster.StartReplica(0);
  const Result done = fleets.Rollout({"resume", id, "--reason", "those three are reinstalled", "--wait"});
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - began).count();
  INFO(done.err << fleets.cluster.Logs());
  // Three failed, so it is not the 0 of a fleet that all obeys.
  REQUIRE(done.exit_code == 3);
  const v1::Rollout at_end = Parse<v1::ResumeRolloutResponse>(done).rollout();
  CHECK(at_end.state() == v1::ROLLOUT_STATE_DONE);
  CHECK(at_end.enforced() == 197);
  CHECK(at_end.failed() == 3);
  const int most = watch.Stop();
  CHECK(most > 0);
  CHECK(most <= kMaxInFlight);
  const std::vector<std::string> problems = Problems(fleets, id);
  INFO(Joined(problems));
  CHECK(problems.empty());
  WARN("200 sensors, " << kMaxInFlight << " at once, with a halt and a dead replica: " << seconds << " s, at most "
                       << most << " in flight");
}

TEST_CASE("the comparison finds hosts that lie, and a rollout that nobody hinders ends with 0") {
  Fleets fleets;
  SimOptions lying = fleets.options;
  lying.planted = Planted::kDropsOrders;
  fleets.Add("web-", 6, "prod", &fleets.options);
  fleets.Add("lies-", 2, "prod", &lying);
  const Result done = fleets.Rollout({"contain", "--selector", "env=prod", "--wait"});
  INFO(done.err << fleets.cluster.Logs());
  REQUIRE(done.exit_code == 0);
  const std::vector<std::string> problems = Problems(fleets, Parse<v1::CreateRolloutResponse>(done).rollout().id());
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].rfind("lies-0 is ROLLOUT_TARGET_STATE_ENFORCED, and was contained 0 times", 0) == 0);
}

}  // namespace
}  // namespace bulkhead::e2e
