// An order that happens once, as the sensor sees it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "sensor/domain/process_killer.h"
#include "sensor/domain/tamper_guard.h"

namespace bulkhead::sensor {

// What kind of result belongs to a command.
enum class CommandKind { kKillProcess, kKillGroup, kGuard };

// Kill one process or several, or an order to the tamper guard; see bulkhead.v1.Command.
struct Command {
  std::string id;           // UUID
  std::string sensor_id;    // UUID of the sensor that it is for
  ProcessIdentity process;  // to kill, unless `group` or `guard` is set
  absl::Time not_after;     // not started after this moment, by the sensor's clock
  std::optional<KillGroup> group = std::nullopt;
  std::optional<GuardOrder> guard = std::nullopt;
  std::shared_ptr<const SignedOrder> signed_order = nullptr;  // what operators signed for it; null: nothing
  // Set when signatures were needed and are there: SHA-256 of the statement in hexadecimal digits, which works once.
  std::string statement_digest = {};
  absl::Time statement_expires_at = absl::InfinitePast();

  CommandKind kind() const {
    return guard.has_value()   ? CommandKind::kGuard
           : group.has_value() ? CommandKind::kKillGroup
                               : CommandKind::kKillProcess;
  }
};

}  // namespace bulkhead::sensor
