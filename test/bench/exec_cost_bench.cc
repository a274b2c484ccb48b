// What fork and exec cost with blocked files, beside a bare path match in sys_execve and beside nothing at all.
//
// In a cgroup on this machine; with BULKHEAD_TEST_HOSTWIDE=1 (guests only) for the whole host. In a guest with
// run_guest.py --instruction-clock a nanosecond is one instruction.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/rounds.h"
#include "harness/cgroup_sandbox.h"
#include "harness/status_matchers.h"
#include "sensor/kernel/kernel.h"
#include "test/leak/exec/exec_hook.h"

namespace bulkhead::sensor {
namespace {

constexpr char kProgram[] = "/bin/true";
// The most policies that a rule set holds are 4096.
constexpr int kBlocked[] = {0, 1, 1000, 4000};

// One posix_spawn of kProgram and its end: nanoseconds by the clock, and of the processor.
int MeasureHere(int result, int times) {
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  const bench::Stopwatch watch;
  for (int i = 0; i < times; ++i) {
    pid_t pid = -1;
    int status = 0;
    if (posix_spawn(&pid, kProgram, nullptr, nullptr, arguments, arguments + 1) != 0) return 1;
    if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
  }
  const double each[] = {watch.Wall() / times, watch.Processor() / times};
  return write(result, each, sizeof(each)) == sizeof(each) ? 0 : 1;
}

class Host {
 public:
  Host() : whole_(std::getenv("BULKHEAD_TEST_HOSTWIDE") != nullptr) {
    if (!whole_) cgroup_.emplace();
    options_.scope = whole_ ? "" : cgroup_->path();
    options_.pin_key = "exec-cost-bench";
  }
  ~Host() { Close(); }

  bool whole() const { return whole_; }

  std::vector<double> Measure() const {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const int times = whole_ ? 100 : 300;
    const auto body = [&] { return MeasureHere(ends[1], times); };
    pid_t pid = -1;
    if (cgroup_.has_value()) {
      pid = cgroup_->Fork(body);
    } else {
      pid = fork();
      if (pid == 0) _exit(body());
    }
    std::vector<double> each(2);
    REQUIRE(test::WaitFor(pid) == 0);
    REQUIRE(read(ends[0], each.data(), 2 * sizeof(double)) == 2 * sizeof(double));
    close(ends[0]);
    close(ends[1]);
    return each;
  }

  // Paths that no file has: a block may precede its file.
  void BlockPaths(int count) {
    std::vector<Policy> policies(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) policies[i].binary_path = absl::StrCat("/nowhere/bulkhead-bench/", i);
    Apply(std::move(policies));
  }

  // A content whose size nobody knows: every file that runs is hashed.
  void BlockContent() {
    std::vector<Policy> policies(1);
    policies[0].binary_sha256 = std::string(32, '\x5a');
    Apply(std::move(policies));
  }

  void Open() {
    auto opened = OpenDatapath(options_);
    REQUIRE_OK(opened.status());
    datapath_ = std::move(*opened);
  }
  void Close() {
    datapath_.reset();
    RemoveDatapath(options_).IgnoreError();
  }

  bool CanHash() const {
    for (const Mechanism& mechanism : datapath_->capabilities().mechanisms) {
      if (mechanism.name == "exec_digest") return mechanism.available;
    }
    return false;
  }

  void Hook(bool on) {
    hook_.reset();
    if (!on) return;
    auto hook = leak::ExecHook::Open(options_.scope);
    REQUIRE_OK(hook.status());
    hook_ = std::move(*hook);
    hook_->Kill("/nowhere/bulkhead-bench/0");
  }

 private:
  void Apply(std::vector<Policy> policies) {
    DesiredState state;
    state.sensor_id = "bench";
    state.generation = ++generation_;
    state.digest[0] = static_cast<uint8_t>(generation_);
    state.digest[1] = static_cast<uint8_t>(generation_ >> 8);
    for (size_t i = 0; i < policies.size(); ++i) {
      policies[i].id = absl::StrFormat("33333333-3333-4333-8333-%012d", i);
      policies[i].policy_template = PolicyTemplate::kBlockBinary;
      policies[i].action = PolicyAction::kDeny;
    }
    state.policies = std::move(policies);
    REQUIRE_OK(datapath_->Apply(state));
  }

  const bool whole_;
  std::optional<test::CgroupSandbox> cgroup_;
  DatapathOptions options_;
  std::unique_ptr<Datapath> datapath_;
  std::unique_ptr<leak::ExecHook> hook_;
  uint64_t generation_ = 0;
};

TEST_CASE("fork and exec") {
  Host host;
  host.Open();
  const bool hashes = host.CanHash();
  host.Close();
  std::vector<bench::Configuration> configurations;
  configurations.push_back({"nothing", {}, {}});
  configurations.push_back({"path match in sys_execve", [&] { host.Hook(true); }, [&] { host.Hook(false); }});
  for (const int count : kBlocked) {
    configurations.push_back({absl::StrCat("Bulkhead, ", count, " blocked paths"),
                              [&host, count] {
                                host.Open();
                                host.BlockPaths(count);
                              },
                              [&host] { host.Close(); }});
  }
  if (hashes) {
    configurations.push_back({"Bulkhead, every file's content known",
                              [&host] {
                                host.Open();
                                host.BlockContent();
                                host.Measure();  // hashes
                              },
                              [&host] { host.Close(); }});
  }
  host.Measure();
  const auto values = bench::MeasureInTurn(configurations, host.whole() ? 2 : 20, [&] { return host.Measure(); });
  bench::PrintBesideFirst(configurations, values, 1, "posix_spawn of /bin/true and its end, ns of the processor");
  bench::PrintBesideFirst(configurations, values, 0, "the same, ns by the clock");
}

}  // namespace
}  // namespace bulkhead::sensor
