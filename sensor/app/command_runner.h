// Commands from arrival to result: at most once, stored before and after.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "sensor/app/guard_keeper.h"
#include "sensor/app/kill_worker.h"
#include "sensor/domain/command_log.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/domain/order_authority.h"
#include "sensor/store/command_log_store.h"

namespace bulkhead::sensor {

// Not thread safe: used by the loop thread only.
class CommandRunner {
 public:
  // Loads the log; a damaged one is told in `problem()`, and the log begins empty.
  CommandRunner(CommandLogStore* store, KillWorker* worker, GuardKeeper* guard);

  // From now on commands need the operators' signatures that `authority` wants; it outlives this.
  void Demand(const OrderAuthority* authority) { authority_ = authority; }

  // Starts a kill, carries out an order to the tamper guard, or returns the result that is known already.
  std::optional<CommandResultMessage> Take(const LinkCommand& incoming, absl::string_view own_sensor_id,
                                           absl::Time now);

  // A kill has ended: stores the result and returns it.
  CommandResultMessage Finish(KillDone done) { return Finish(done.command_id, std::move(done.result), done.kind); }

  void Acknowledge(const std::string& id) { log_.Acknowledge(id); }

  // Results that the control plane has not acknowledged.
  std::vector<CommandResultMessage> Unacknowledged() const;

  // What is wrong with the log, for the operator; empty when nothing is.
  const std::string& problem() const { return problem_; }

 private:
  static CommandResultMessage NotAuthorized(const Command& command, const absl::Status& why);
  CommandResultMessage Finish(const std::string& id, CommandResult result, CommandKind kind);
  absl::Status Save();

  CommandLogStore* const store_;
  KillWorker* const worker_;
  GuardKeeper* const guard_;
  const OrderAuthority* authority_ = nullptr;  // null: nothing needs to be signed
  CommandLog log_;
  std::string problem_;
};

}  // namespace bulkhead::sensor
