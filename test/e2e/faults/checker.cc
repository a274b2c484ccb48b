// Decides whether a run kept every promise, from what was recorded on all sides of it.
#include "e2e/faults/checker.h"

#include <set>

namespace bulkhead::e2e {
namespace {

using Problems = std::vector<std::string>;

// What each generation of a sensor must be: the first is empty, each order that changes something makes one more.
using Generations = std::map<std::string, std::vector<Enforced>>;

// Seconds. A lease that is read by a clock that jumped is off by more.
constexpr double kClockSlack = 10, kLongestRun = 1200;

std::string Show(const Enforced& enforced) {
  std::string text = enforced.contained ? "contained" : "open";
  if (enforced.isolated) text += ", isolated";
  return text + ", " + std::to_string(enforced.blocked.size()) + " blocked";
}

Enforced After(Enforced state, const GivenOrder& order) {
  switch (order.kind) {
    case OrderKind::kContain:
      state.contained = true;
      break;
    case OrderKind::kIsolate:
      state.isolated = true;
      break;
    case OrderKind::kRelease:
      state.contained = state.isolated = false;
      break;
    case OrderKind::kBlock:
      state.blocked.insert(order.path);
      break;
    case OrderKind::kKill:
      break;
  }
  return state;
}

Generations CheckAnswers(const Evidence& evidence, Problems* problems) {
  Generations generations;
  for (const auto& [id, sensor] : evidence.sensors) generations[id] = {Enforced()};
  for (const GivenOrder& order : evidence.orders) {
    if (order.kind == OrderKind::kKill) continue;
    const auto found = generations.find(order.sensor_id);
    if (found == generations.end()) {
      problems->push_back("order " + order.request_id + ": the control plane has lost its sensor");
      continue;
    }
    std::vector<Enforced>& states = found->second;
    const Enforced next = After(states.back(), order);
    const bool unchanged = next == states.back() && !order.leased;
    if (!unchanged) states.push_back(next);
    if (order.unchanged != unchanged || order.generation_after != states.size()) {
      problems->push_back("order " + order.request_id + " was answered with generation " +
                          std::to_string(order.generation_after) + ", but makes " + std::to_string(states.size()));
    }
  }
  return generations;
}

void CheckHosts(const Evidence& evidence, const Generations& generations, Problems* problems) {
  std::map<std::string, const Applied*> last;
  for (const Applied& applied : evidence.applied) {
    const auto found = generations.find(applied.sensor_id);
    const std::string at = "host of " + applied.sensor_id + " at generation " + std::to_string(applied.generation);
    if (found == generations.end() || applied.generation == 0 || applied.generation > found->second.size()) {
      problems->push_back(at + ": nobody ordered this generation");
    } else if (applied.enforced != found->second[applied.generation - 1]) {
      problems->push_back(at + " is " + Show(applied.enforced) + ", ordered was " +
                          Show(found->second[applied.generation - 1]));
    }
    const double off = applied.isolation_seconds - kLeaseSeconds;
    if (applied.isolation_seconds != 0 && (off > kClockSlack || off < -kLongestRun))
      problems->push_back(at + ": its lease lasts " + std::to_string(applied.isolation_seconds) + " s from there");
    const Applied*& before = last[applied.sensor_id];
    if (before != nullptr && applied.generation < before->generation) problems->push_back(at + ": went back");
    before = &applied;
  }
  for (const auto& [id, states] : generations) {
    const auto sensor = evidence.sensors.find(id);
    const uint64_t reached = last[id] == nullptr ? 0 : last[id]->generation;
    if (sensor == evidence.sensors.end() || sensor->second.generation != states.size()) {
      problems->push_back("sensor " + id + ": the control plane ends at another generation than " +
                          std::to_string(states.size()) + ", which was ordered");
      continue;
    }
    if (reached != states.size() || last[id]->digest != sensor->second.digest) {
      problems->push_back("sensor " + id + ": an order is lost; the host has generation " + std::to_string(reached) +
                          " of " + std::to_string(states.size()));
    }
    if (!sensor->second.connected || !sensor->second.synced)
      problems->push_back("sensor " + id + ": is not connected and synced in the end");
  }
}

void CheckKills(const Evidence& evidence, Problems* problems) {
  std::map<std::string, int> times;
  for (const Killed& killed : evidence.killed) ++times[killed.command_id];
  std::set<std::string> given;
  for (const GivenOrder& order : evidence.orders) {
    if (order.kind != OrderKind::kKill) continue;
    if (!given.insert(order.command_id).second)
      problems->push_back("command " + order.command_id + " answers two orders");
    const auto command = evidence.commands.find(order.command_id);
    if (command == evidence.commands.end() || command->second == FinalCommand::kOpen) {
      problems->push_back("command " + order.command_id + " is lost: it has no end");
    } else if (command->second == FinalCommand::kSucceeded && times[order.command_id] == 0) {
      problems->push_back("command " + order.command_id + " succeeded, but nothing was killed");
    } else if (command->second == FinalCommand::kExpired) {
      problems->push_back("command " + order.command_id + " expired, " +
                          (times[order.command_id] != 0 ? "but its process was killed" : "before its time"));
    }
  }
  for (const auto& [id, count] : times) {
    if (count > 1) problems->push_back("command " + id + " was carried out " + std::to_string(count) + " times");
    if (count > 0 && !given.contains(id)) problems->push_back("command " + id + " was carried out, nobody ordered it");
  }
}

const char* ActionOf(OrderKind kind) {
  switch (kind) {
    case OrderKind::kContain:
      return "sensor_contained";
    case OrderKind::kIsolate:
      return "sensor_isolated";
    case OrderKind::kRelease:
      return "sensor_released";
    case OrderKind::kBlock:
      return "binary_blocked";
    case OrderKind::kKill:
      return "process_kill_ordered";
  }
  return "";
}

void CheckAudit(const Evidence& evidence, Problems* problems) {
  std::map<std::string, std::vector<const FinalAudit*>> records;
  for (const FinalAudit& record : evidence.audit) records[record.request_id].push_back(&record);
  for (const GivenOrder& order : evidence.orders) {
    const std::vector<const FinalAudit*> found = records[order.request_id];
    records.erase(order.request_id);
    if (found.size() != 1) {
      problems->push_back("order " + order.request_id + " has " + std::to_string(found.size()) + " audit records");
      continue;
    }
    if (found[0]->action != ActionOf(order.kind) || found[0]->target != "sensor/" + order.sensor_id ||
        found[0]->outcome != (order.unchanged ? "unchanged" : "applied")) {
      problems->push_back("the audit record of order " + order.request_id + " says something else: " +
                          found[0]->action + " " + found[0]->target + " " + found[0]->outcome);
    }
  }
  for (const auto& [request_id, left] : records) {
    for (const FinalAudit* record : left) {
      problems->push_back("audit record without its order: " + record->action + " " + record->target + " " +
                          request_id);
    }
  }
}

}  // namespace

std::vector<std::string> Check(const Evidence& evidence) {
  Problems problems = evidence.complaints;
  const Generations generations = CheckAnswers(evidence, &problems);
  CheckHosts(evidence, generations, &problems);
  CheckKills(evidence, &problems);
  CheckAudit(evidence, &problems);
  return problems;
}

}  // namespace bulkhead::e2e
