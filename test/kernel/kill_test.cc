// The process killer: only the process that was meant, only inside the scope.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "kernel/fixture.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {
namespace {

// A process in a cgroup that sleeps until it is killed.
class KillFixture {
 public:
  KillFixture() : killer_(MakeProcessKiller(cgroup_.path()).value()), pid_(Sleep(cgroup_)) {}
  ~KillFixture() {
    kill(pid_, SIGKILL);
    test::WaitFor(pid_);
  }

  static pid_t Sleep(const test::CgroupSandbox& cgroup) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t pid = cgroup.Fork([&ready] {
      // The cgroup is entered by now, and the parent may go on.
      close(ready[1]);
      for (;;) pause();
      return 0;
    });
    close(ready[1]);
    char byte;
    CHECK(read(ready[0], &byte, 1) == 0);
    close(ready[0]);
    return pid;
  }

  ProcessIdentity Target() const {
    ProcessIdentity identity;
    identity.pid = pid_;
    return identity;
  }
  bool Alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }
  ProcessKiller& killer() { return *killer_; }
  pid_t pid() const { return pid_; }

 private:
  test::CgroupSandbox cgroup_;
  std::unique_ptr<ProcessKiller> killer_;
  pid_t pid_;
};

TEST_CASE_METHOD(KillFixture, "the process that was meant is killed and seen to end", "[kill]") {
  const ProcessInfo info = ReadProcess(pid()).value();
  ProcessIdentity target = Target();
  target.start_time_ticks = info.start_time_ticks;
  target.executable = info.executable;
  target.boot_id = std::string(absl::StripAsciiWhitespace(ReadFile("/proc/sys/kernel/random/boot_id").value()));
  target.not_started_after = absl::Now() + absl::Seconds(1);
  const CommandResult result = killer().Kill(target);
  CHECK(result.outcome == CommandOutcome::kGone);
  CHECK_THAT(result.found, Catch::Contains(std::to_string(pid())));
  CHECK_FALSE(Alive());
  CHECK(killer().Kill(target).outcome == CommandOutcome::kAlreadyGone);
}

TEST_CASE_METHOD(KillFixture, "another process under the number is not touched", "[kill]") {
  ProcessIdentity target = Target();
  SECTION("another start time") {
    target.start_time_ticks = ReadProcess(pid()).value().start_time_ticks + 1;
  }
  SECTION("started after the order") {
    target.not_started_after = absl::Now() - absl::Hours(1);
  }
  SECTION("another executable") {
    target.executable = "/bin/other";
  }
  const CommandResult result = killer().Kill(target);
  CHECK(result.outcome == CommandOutcome::kNotTheSameProcess);
  CHECK_FALSE(result.found.empty());
  CHECK(Alive());
}

TEST_CASE_METHOD(KillFixture, "another boot's process is gone", "[kill]") {
  ProcessIdentity target = Target();
  target.boot_id = "00000000-0000-4000-8000-000000000000";
  CHECK(killer().Kill(target).outcome == CommandOutcome::kAlreadyGone);
  CHECK(Alive());
}

TEST_CASE_METHOD(KillFixture, "init, the sensor, kernel threads and other cgroups are refused", "[kill]") {
  ProcessIdentity target;
  target.pid = 1;
  CHECK(killer().Kill(target).outcome == CommandOutcome::kRefused);
  target.pid = getpid();
  CHECK(killer().Kill(target).outcome == CommandOutcome::kRefused);
  target.pid = 2;
  if (ReadProcess(2).ok()) CHECK(killer().Kill(target).outcome == CommandOutcome::kRefused);
  const test::CgroupSandbox outside;
  const pid_t stranger = Sleep(outside);
  target.pid = stranger;
  const CommandResult result = killer().Kill(target);
  CHECK(result.outcome == CommandOutcome::kRefused);
  CHECK(waitpid(stranger, nullptr, WNOHANG) == 0);
  kill(stranger, SIGKILL);
  test::WaitFor(stranger);
}

}  // namespace
}  // namespace bulkhead::sensor
