// Decides whether a run kept every promise, from what was recorded on all sides of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "e2e/fleet/history.h"

namespace bulkhead::e2e {

enum class OrderKind { kContain, kIsolate, kRelease, kBlock, kKill };

// An order that was accepted, and the answer. Orders to one sensor stand in the order in which they were given: each
// was answered before the next was sent.
struct GivenOrder {
  OrderKind kind = OrderKind::kContain;
  std::string request_id;
  std::string sensor_id;
  std::string path;               // kBlock
  uint32_t pid = 0;               // kKill
  uint64_t generation_after = 0;  // as answered; 0 for kKill
  bool unchanged = false;         // as answered
  bool leased = false;            // kIsolate: for kLeaseSeconds, which is another state than any before
  std::string command_id;         // kKill
};

// How long a leased isolation lasts. Longer than any run: none may end in one, whatever the clocks say.
inline constexpr int kLeaseSeconds = 3600;

// What the control plane says in the end.
struct FinalSensor {
  uint64_t generation = 0;
  std::string digest;
  bool connected = false;
  bool synced = false;
};
enum class FinalCommand { kOpen, kSucceeded, kFailed, kExpired };
struct FinalAudit {
  std::string action;
  std::string target;
  std::string request_id;
  std::string outcome;
};

struct Evidence {
  std::vector<GivenOrder> orders;
  std::vector<Applied> applied;
  std::vector<Killed> killed;
  std::map<std::string, FinalSensor> sensors;    // by id
  std::map<std::string, FinalCommand> commands;  // by id
  std::vector<FinalAudit> audit;                 // of orders to these sensors
  std::vector<std::string> complaints;           // what went wrong while the evidence was gathered
};

// One sentence for each broken promise: an order lost, carried out twice or answered wrongly; a host in a state that
// nobody ordered, or for another time; a command that expired though its sensor was there; an audit record without its
// change, or a change without its record. Pure.
std::vector<std::string> Check(const Evidence& evidence);

}  // namespace bulkhead::e2e
