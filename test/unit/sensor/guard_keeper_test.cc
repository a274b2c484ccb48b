// When the tamper guard goes up and down, the offline code, and what is reported.
#include "sensor/app/guard_keeper.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "absl/strings/match.h"
#include "common/file_util.h"
#include "common/guard_code.h"
#include "harness/fake_tamper_guard.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "running_sensor.h"
#include "sensor/app/guard_console.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";

class Guarded {
 public:
  Guarded() { keeper.Use(std::make_unique<test::FakeTamperGuard>(&kernel, &clock)); }

  ObservedState Observe() {
    ObservedState observed;
    keeper.AddTo(&observed);
    return observed;
  }
  std::string NewCode() {
    const std::string code = NewGuardCode();
    CHECK(keeper.Obey(SetGuardCode{*GuardCodeHash(kSensor, code)}).outcome == CommandOutcome::kDone);
    return code;
  }
  CommandResult Give(const std::string& code) { return keeper.LowerByCode(kSensor, code, absl::Minutes(10)); }
  std::string LastEvent() {
    const std::vector<NumberedEvent> all = events.TakeUnsent(1000);
    if (all.empty()) return "";
    CHECK(all.back().event.kind == EventKind::kTamper);
    return all.back().event.detail;
  }

  test::TempDir state;
  test::ManualClock clock;
  test::FakeGuardState kernel;
  EventQueue events{1000};
  GuardCodeStore codes{state.path()};
  GuardKeeper keeper{&codes, &events, &clock};
};

TEST_CASE("without the option every order is refused, and that is no degradation") {
  const test::TempDir state;
  const test::ManualClock clock;
  EventQueue events(10);
  const GuardCodeStore codes(state.path());
  GuardKeeper keeper(&codes, &events, &clock);
  keeper.EnableOnce();
  CHECK(keeper.Maintain().empty());
  CHECK(keeper.Obey(LowerGuard{absl::Seconds(1)}).outcome == CommandOutcome::kRefused);
  CHECK(keeper.Obey(SetGuardCode{std::string(32, 'h')}).outcome == CommandOutcome::kRefused);
  CHECK(keeper.LowerByCode(kSensor, NewGuardCode(), absl::Seconds(1)).outcome == CommandOutcome::kRefused);
  ObservedState observed;
  keeper.AddTo(&observed);
  CHECK(observed.guard.state == GuardState::kOff);
  CHECK(observed.degraded.empty());
  CHECK_FALSE(keeper.mechanism().has_value());
}

TEST_CASE("a sensor that was moved to another cgroup goes back, and whoever asks next hears of it") {
  Guarded host;
  host.kernel.moves = 1;
  CHECK_FALSE(host.keeper.GoHome());  // not enabled yet
  host.keeper.EnableOnce();
  CHECK(host.keeper.GoHome());
  CHECK(host.LastEvent() == "moved");
  CHECK_FALSE(host.keeper.GoHome());
  host.kernel.moves = 1;
  host.keeper.Maintain();
  host.keeper.Maintain();
  CHECK(host.keeper.GoHome());
  CHECK_FALSE(host.keeper.GoHome());
}

TEST_CASE("the guard goes up once, when the sensor has come far enough") {
  Guarded host;
  CHECK(host.Observe().guard.state == GuardState::kOff);
  CHECK(host.kernel.enables == 0);
  host.keeper.EnableOnce();
  host.keeper.EnableOnce();
  CHECK(host.kernel.enables == 1);
  CHECK(host.Observe().guard.state == GuardState::kUp);
  CHECK(host.keeper.mechanism()->available);
}

TEST_CASE("a kernel without a guard, and one that refuses it, are degraded with the reason") {
  Guarded host;
  host.kernel.enable_result = absl::FailedPreconditionError("too deep");
  host.keeper.EnableOnce();
  CHECK(host.Observe().guard.state == GuardState::kUnavailable);
  CHECK(absl::StrContains(host.Observe().degraded.at(0), "too deep"));

  GuardKeeper none(&host.codes, &host.events, &host.clock);
  none.Use(absl::FailedPreconditionError("no hook"));
  none.EnableOnce();
  CHECK(none.Obey(LowerGuard{absl::Seconds(1)}).outcome == CommandOutcome::kRefused);
  CHECK_FALSE(none.mechanism()->available);
  CHECK(none.mechanism()->reason == "no hook");
  ObservedState observed;
  none.AddTo(&observed);
  CHECK(absl::StrContains(observed.degraded.at(0), "no hook"));
}

TEST_CASE("an order lowers it for a while, and it comes back by itself") {
  Guarded host;
  host.keeper.EnableOnce();
  CHECK(host.keeper.Obey(LowerGuard{absl::Minutes(10)}).outcome == CommandOutcome::kDone);
  CHECK(host.Observe().guard.state == GuardState::kLowered);
  CHECK(host.Observe().guard.lowered_until == host.clock.Now() + absl::Minutes(10));
  CHECK(host.Observe().degraded.empty());
  host.keeper.Maintain();
  host.clock.Advance(absl::Minutes(10));
  CHECK(host.keeper.Maintain() == std::vector<std::string>{"the tamper guard is up again"});
  CHECK(host.LastEvent() == "the tamper guard is up again");
  CHECK(host.Observe().guard.state == GuardState::kUp);
  host.kernel.lower_result = absl::InternalError("the kernel says no");
  CHECK(host.keeper.Obey(LowerGuard{absl::Seconds(1)}).outcome == CommandOutcome::kFailed);
}

TEST_CASE("the offline code works once, and only the newest") {
  Guarded host;
  host.keeper.EnableOnce();
  CHECK(absl::StrContains(host.Give(NewGuardCode()).message, "no offline code"));
  const std::string old = host.NewCode();
  const std::string code = host.NewCode();
  CHECK(host.Observe().guard.has_code);
  CHECK(host.Give(old).outcome == CommandOutcome::kRefused);
  CHECK(host.Give("hello").outcome == CommandOutcome::kRefused);
  CHECK(host.keeper.LowerByCode("another sensor", code, absl::Minutes(1)).outcome == CommandOutcome::kRefused);
  CHECK(host.LastEvent() == "a wrong offline code was given to the tamper guard");
  CHECK(host.Observe().guard.state == GuardState::kUp);
  CHECK(host.Give(code).outcome == CommandOutcome::kDone);
  CHECK(host.Observe().guard.state == GuardState::kLowered);
  CHECK_FALSE(host.Observe().guard.has_code);
  CHECK(host.Give(code).outcome == CommandOutcome::kRefused);
  // Also for the sensor that starts next.
  GuardKeeper next(&host.codes, &host.events, &host.clock);
  next.Use(std::make_unique<test::FakeTamperGuard>(&host.kernel, &host.clock));
  CHECK(next.LowerByCode(kSensor, code, absl::Minutes(1)).outcome == CommandOutcome::kRefused);
}

TEST_CASE("a code survives a restart; one that cannot be used up is not accepted; a used one does not come back") {
  Guarded host;
  host.keeper.EnableOnce();
  const std::string code = host.NewCode();
  struct stat info {};
  REQUIRE(stat((host.state / "guard-code").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK_FALSE(absl::StrContains(*ReadFile(host.state / "guard-code"), code));
  GuardKeeper next(&host.codes, &host.events, &host.clock);
  next.Use(std::make_unique<test::FakeTamperGuard>(&host.kernel, &host.clock));
  host.kernel.lower_result = absl::InternalError("the kernel says no");
  CHECK(next.LowerByCode(kSensor, code, absl::Minutes(1)).outcome == CommandOutcome::kFailed);
  host.kernel.lower_result = absl::OkStatus();
  CHECK(next.LowerByCode(kSensor, code, absl::Minutes(1)).outcome == CommandOutcome::kRefused);
}

TEST_CASE("a damaged code is told, and lowers nothing") {
  Guarded host;
  REQUIRE_OK(WriteFileAtomically(host.state / "guard-code", "garbage", 0600));
  GuardKeeper next(&host.codes, &host.events, &host.clock);
  next.Use(std::make_unique<test::FakeTamperGuard>(&host.kernel, &host.clock));
  next.EnableOnce();
  ObservedState observed;
  next.AddTo(&observed);
  CHECK(absl::StrContains(observed.degraded.at(0), "offline code was lost"));
}

TEST_CASE("what it refused, repaired, and that it went silent, is told") {
  Guarded host;
  host.kernel.refusals = 5;  // before this sensor
  GuardKeeper keeper(&host.codes, &host.events, &host.clock);
  keeper.Use(std::make_unique<test::FakeTamperGuard>(&host.kernel, &host.clock));
  keeper.EnableOnce();
  CHECK(keeper.Maintain().empty());
  host.kernel.refusals = 8;
  CHECK(keeper.Maintain() == std::vector<std::string>{"the tamper guard refused: guard_denied_signal 3"});
  host.kernel.refusals = 9;
  CHECK(keeper.Maintain().empty());  // who tries without end does not fill the queue
  host.clock.Advance(absl::Seconds(10));
  CHECK(keeper.Maintain() == std::vector<std::string>{"the tamper guard refused: guard_denied_signal 1"});
  host.kernel.repairs = {"it is back home"};
  CHECK(keeper.Maintain() == std::vector<std::string>{"it is back home"});
  host.kernel.works = absl::FailedPreconditionError("not called");
  CHECK(keeper.Maintain() == std::vector<std::string>{"not called"});
  ObservedState observed;
  keeper.AddTo(&observed);
  CHECK(observed.guard.state == GuardState::kUnavailable);
  CHECK(observed.degraded == std::vector<std::string>{"tamper guard: not called"});
  CHECK(observed.guard.refusals == 9);
  host.kernel.works = absl::OkStatus();
  CHECK(keeper.Maintain() == std::vector<std::string>{"the tamper guard works again"});
}

// Asks in another thread, because who asks waits.
template <typename Ask>
auto AskWhileServing(GuardConsole& console, const GuardConsole::Lower& lower, Ask ask) {
  auto answer = std::async(std::launch::async, ask);
  while (answer.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) console.ServeOne(lower);
  return answer.get();
}

TEST_CASE("the console carries a code to the sensor, and its answer back") {
  const test::TempDir state;
  const auto console = GuardConsole::Open(state.path());
  REQUIRE_OK(console);
  const auto lower = [](absl::string_view code, absl::Duration duration) {
    if (code == "right one" && duration == absl::Minutes(10)) return CommandResult{CommandOutcome::kDone, "", "down"};
    return CommandResult{CommandOutcome::kRefused, "", "not this one"};
  };
  const auto give = [&](const char* code, absl::Duration duration) {
    return AskWhileServing(**console, lower, [&] { return GiveGuardCode(state.path(), code, duration); });
  };
  CHECK(*give("right one", absl::Minutes(10)) == "down");
  CHECK_CODE(give("wrong one", absl::Minutes(10)), kPermissionDenied);
  CHECK(give("wrong one", absl::Minutes(10)).status().message() == "not this one");
  CHECK(absl::StrContains(give("right one", absl::Hours(2)).status().message(), "malformed"));
  CHECK(absl::StrContains(give("right one", absl::ZeroDuration()).status().message(), "malformed"));
  struct stat info {};
  REQUIRE(stat((state / "guard.sock").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("one request is served at a time, and nobody can hold the sensor up") {
  const test::TempDir state;
  const auto console = GuardConsole::Open(state.path());
  REQUIRE_OK(console);
  int served = 0;
  const auto lower = [&served](absl::string_view, absl::Duration) {
    ++served;
    return CommandResult{CommandOutcome::kRefused, "", ""};
  };
  (*console)->ServeOne(lower);  // nothing waits: returns at once
  CHECK(served == 0);
  auto first = std::async(std::launch::async, [&] { return GiveGuardCode(state.path(), "a", absl::Seconds(1)); });
  auto second = std::async(std::launch::async, [&] { return GiveGuardCode(state.path(), "b", absl::Seconds(1)); });
  while (served == 0) (*console)->ServeOne(lower);
  CHECK(served == 1);
  while (served == 1) (*console)->ServeOne(lower);
  CHECK_CODE(first.get(), kPermissionDenied);
  CHECK_CODE(second.get(), kPermissionDenied);
}

TEST_CASE("without a sensor the person is told what to do, also with a long path") {
  const test::TempDir state;
  const std::string deep = state / std::string(150, 'd');
  std::filesystem::create_directory(deep);
  CHECK_CODE(GiveGuardCode(deep, "x", absl::Seconds(1)), kNotFound);
  { REQUIRE_OK(GuardConsole::Open(deep)); }
  CHECK_CODE(GiveGuardCode(deep, "x", absl::Seconds(1)), kNotFound);  // its socket is left, and nobody listens
  REQUIRE_OK(GuardConsole::Open(deep));
}

}  // namespace
}  // namespace bulkhead::sensor
