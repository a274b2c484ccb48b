// Runs the tamper guard: when it goes up and down, and what the control plane hears of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "sensor/domain/command_result.h"
#include "sensor/domain/event_queue.h"
#include "sensor/domain/tamper_guard.h"
#include "sensor/store/guard_code_store.h"

namespace bulkhead::sensor {

// A sensor without the option tamper_guard has one too, which refuses every order. Not thread safe: used by the loop
// thread only.
class GuardKeeper {
 public:
  // All outlive it. `clock`: wall clock, for when the guard comes back.
  GuardKeeper(const GuardCodeStore* codes, EventQueue* events, const Clock* clock);

  // The option tamper_guard is on: the guard, or why there is none. Until EnableOnce it is as an earlier sensor left
  // it.
  void Use(absl::StatusOr<std::unique_ptr<TamperGuard>> guard);

  // The sensor has come so far that the guard cannot lock anybody out: it has its addresses and all code that it will
  // ever load. Only the first call does something.
  void EnableOnce();

  // Carries out an order of the control plane.
  CommandResult Obey(const GuardOrder& order);

  // Lowers the guard if this is the offline code, which is used up by that, whatever comes after. The caller sees to
  // it that nobody can try often.
  CommandResult LowerByCode(absl::string_view sensor_id, absl::string_view code, absl::Duration duration);

  // Repairs, proves, and notices what was refused. Call about once a second. Says what changed, in words.
  std::vector<std::string> Maintain();

  // Undoes it when somebody moved the sensor out of its cgroup: sockets that it makes elsewhere are not the sensor's to
  // the wall. True when somebody did since the last call.
  bool GoHome();

  // The guard's state, and what is wrong with it.
  void AddTo(ObservedState* observed) const;

  // For Capabilities; unset when the option is off.
  std::optional<Mechanism> mechanism() const;

 private:
  enum class Stage { kNotAskedFor, kNotEnabledYet, kEnabled };

  CommandResult Lower(absl::Duration duration);
  CommandResult KeepCode(const std::string& hash);
  void Note(const std::string& what);
  void NoticeSwitch(std::vector<std::string>* changes);
  void NoticeRefusals(std::vector<std::string>* changes);

  const GuardCodeStore* const codes_;
  EventQueue* const events_;
  const Clock* const clock_;
  Stage stage_ = Stage::kNotAskedFor;
  std::unique_ptr<TamperGuard> guard_;  // null: `problem_` says why
  std::string problem_;                 // why it is not there or does not work; empty when all is well
  std::string code_problem_;            // why the offline code cannot be used
  bool has_code_ = false;
  std::optional<GuardSwitch> seen_;  // at the last Maintain
  std::vector<Counter> reported_;    // refusals that events have told of
  uint64_t refusals_ = 0;
  bool moved_ = false;  // out of its cgroup and back, since the last GoHome
  absl::Time next_refusal_event_ = absl::InfinitePast();
};

}  // namespace bulkhead::sensor
