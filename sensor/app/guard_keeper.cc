// Runs the tamper guard.
#include "sensor/app/guard_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/guard_code.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

// Somebody who tries without end must not fill the queue of events.
constexpr absl::Duration kRefusalEventInterval = absl::Seconds(10);

CommandResult Refused(absl::string_view why) {
  return {CommandOutcome::kRefused, "", std::string(why)};
}

CommandResult Failed(absl::string_view what, const absl::Status& status) {
  return {CommandOutcome::kFailed, "", absl::StrCat(what, ": ", status.message())};
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// "guard_denied_signal 3, guard_denied_file 1": what was counted since `before`, which may be of an earlier guard.
std::string Growth(const std::vector<Counter>& before, const std::vector<Counter>& now) {
  std::string out;
  for (const Counter& counter : now) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const Counter& other) { return other.name == counter.name; });
    const uint64_t known = old == before.end() ? 0 : old->value;
    if (counter.value > known) {
      absl::StrAppend(&out, out.empty() ? "" : ", ", counter.name, " ", counter.value - known);
    }
  }
  return out;
}

}  // namespace

GuardKeeper::GuardKeeper(const GuardCodeStore* codes, EventQueue* events, const Clock* clock)
    : codes_(codes), events_(events), clock_(clock) {
  const absl::StatusOr<std::string> code = codes_->Load();
  has_code_ = code.ok() && !code->empty();
  if (!code.ok()) code_problem_ = absl::StrCat("the tamper guard's offline code was lost: ", code.status().message());
}

void GuardKeeper::Use(absl::StatusOr<std::unique_ptr<TamperGuard>> guard) {
  stage_ = Stage::kNotEnabledYet;
  if (guard.ok()) {
    guard_ = *std::move(guard);
    // What an earlier sensor reported is no news.
    if (absl::StatusOr<std::vector<Counter>> counters = guard_->Counters(); counters.ok()) {
      reported_ = *std::move(counters);
    }
    return;
  }
  problem_ = std::string(guard.status().message());
  LogError("there is no tamper guard", {{"error", problem_}});
}

void GuardKeeper::EnableOnce() {
  if (stage_ != Stage::kNotEnabledYet || guard_ == nullptr) return;
  stage_ = Stage::kEnabled;
  if (const absl::Status enabled = guard_->Enable(); !enabled.ok()) {
    problem_ = absl::StrCat("it could not be enabled: ", enabled.message());
    LogError("tamper guard is not enabled", {{"error", enabled.message()}});
    return;
  }
  LogInfo("tamper guard is enabled", {{"mechanism", guard_->mechanism().name}});
}

CommandResult GuardKeeper::Obey(const GuardOrder& order) {
  if (stage_ == Stage::kNotAskedFor) return Refused("the option tamper_guard is off on this host: there is no guard");
  if (const auto* lower = std::get_if<LowerGuard>(&order); lower != nullptr) return Lower(lower->duration);
  return KeepCode(std::get<SetGuardCode>(order).hash);
}

CommandResult GuardKeeper::Lower(absl::Duration duration) {
  if (guard_ == nullptr) return Refused(absl::StrCat("there is no tamper guard on this host: ", problem_));
  if (const absl::Status lowered = guard_->Lower(duration); !lowered.ok()) return Failed("not lowered", lowered);
  const std::string text = absl::StrCat("the tamper guard is down until ", TimeText(clock_->Now() + duration),
                                        "; it then comes back by itself");
  Note(text);
  return {CommandOutcome::kDone, "", text};
}

CommandResult GuardKeeper::KeepCode(const std::string& hash) {
  if (const absl::Status saved = codes_->Save(hash); !saved.ok()) return Failed("the code was not stored", saved);
  has_code_ = true;
  code_problem_.clear();
  Note("a new offline code for the tamper guard was stored");
  return {CommandOutcome::kDone, "", "the host has the code's hash; a code from before is void"};
}

CommandResult GuardKeeper::LowerByCode(absl::string_view sensor_id, absl::string_view code, absl::Duration duration) {
  if (guard_ == nullptr) return Refused("this sensor has no tamper guard");
  const absl::StatusOr<std::string> wanted = codes_->Load();
  if (!wanted.ok()) return Failed("the code cannot be checked", wanted.status());
  if (wanted->empty()) {
    return Refused("this host has no offline code, or it was used; order one: bulkheadctl sensor guard-code SENSOR");
  }
  const absl::StatusOr<std::string> given = GuardCodeHash(sensor_id, code);
  if (!given.ok()) return Refused(given.status().message());
  if (*given != *wanted) {
    Note("a wrong offline code was given to the tamper guard");
    return Refused("this is not this host's code");
  }
  // Used up before it has an effect: a code that worked twice would be worse than one that did not work.
  if (const absl::Status forgotten = codes_->Forget(); !forgotten.ok()) {
    return Failed("the code is right and could not be used up, so it was not accepted", forgotten);
  }
  has_code_ = false;
  Note("the offline code was used; order a new one");
  return Lower(duration);
}

std::vector<std::string> GuardKeeper::Maintain() {
  std::vector<std::string> changes;
  if (guard_ == nullptr || stage_ != Stage::kEnabled) return changes;
  const std::string before = problem_;
  moved_ = GoHome();
  const absl::StatusOr<std::vector<std::string>> repaired = guard_->Maintain();
  if (repaired.ok()) changes = *repaired;
  const absl::Status works = repaired.ok() ? guard_->Prove() : repaired.status();
  problem_ = std::string(works.message());
  if (problem_ != before) changes.push_back(problem_.empty() ? "the tamper guard works again" : problem_);
  NoticeSwitch(&changes);
  NoticeRefusals(&changes);
  for (const std::string& change : changes) Note(change);
  return changes;
}

bool GuardKeeper::GoHome() {
  if (guard_ == nullptr || stage_ != Stage::kEnabled) return false;
  const absl::StatusOr<std::string> moved = guard_->GoHome();
  const bool now = moved.ok() && !moved->empty();
  if (now) Note(*moved);
  return std::exchange(moved_, false) || now;
}

void GuardKeeper::NoticeSwitch(std::vector<std::string>* changes) {
  const absl::StatusOr<GuardSwitch> now = guard_->Read();
  if (!now.ok()) return;
  const bool was_down = seen_.has_value() && !seen_->up();
  if (was_down && now->up()) changes->push_back("the tamper guard is up again");
  seen_ = *now;
}

void GuardKeeper::NoticeRefusals(std::vector<std::string>* changes) {
  const absl::StatusOr<std::vector<Counter>> now = guard_->Counters();
  if (!now.ok()) return;
  refusals_ = 0;
  for (const Counter& counter : *now) refusals_ += counter.value;
  if (clock_->Now() < next_refusal_event_) return;
  const std::string growth = Growth(reported_, *now);
  if (growth.empty()) return;
  reported_ = *now;
  next_refusal_event_ = clock_->Now() + kRefusalEventInterval;
  changes->push_back(absl::StrCat("the tamper guard refused: ", growth));
}

void GuardKeeper::Note(const std::string& what) {
  LogWarning("tamper guard", {{"what", what}});
  events_->Push(Event{clock_->Now(), EventKind::kTamper, "", 0, "", what});
}

void GuardKeeper::AddTo(ObservedState* observed) const {
  ObservedGuard& out = observed->guard;
  out.has_code = has_code_;
  out.refusals = refusals_;
  if (!code_problem_.empty()) observed->degraded.push_back(code_problem_);
  if (stage_ == Stage::kNotAskedFor) {
    out.reason = "the option tamper_guard is off";
    return;
  }
  if (!problem_.empty()) {
    out.state = GuardState::kUnavailable;
    out.reason = problem_;
    observed->degraded.push_back(absl::StrCat("tamper guard: ", problem_));
    return;
  }
  const absl::StatusOr<GuardSwitch> now = guard_->Read();
  if (!now.ok()) {
    out.state = GuardState::kUnavailable;
    out.reason = std::string(now.status().message());
    observed->degraded.push_back(absl::StrCat("tamper guard: ", out.reason));
  } else if (now->up()) {
    out.state = GuardState::kUp;
  } else if (now->enabled) {
    out.state = GuardState::kLowered;
    out.lowered_until = clock_->Now() + now->lowered_for;
  } else {
    out.reason = "the sensor is starting";
  }
}

std::optional<Mechanism> GuardKeeper::mechanism() const {
  if (stage_ == Stage::kNotAskedFor) return std::nullopt;
  if (guard_ != nullptr) return guard_->mechanism();
  return Mechanism{"tamper_guard", false, problem_};
}

}  // namespace bulkhead::sensor
