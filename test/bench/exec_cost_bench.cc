// What fork and exec cost with blocked files, beside a bare path match in sys_execve and beside nothing at all.
//
// In a cgroup on this machine; with BULKHEAD_TEST_HOSTWIDE=1 (guests only) for the whole host. In a guest with
// run_guest.py --instruction-clock a nanosecond is one instruction.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/rounds.h"
#include "common/hex.h"
#include "common/unique_fd.h"
#include "harness/cgroup_sandbox.h"
#include "harness/status_matchers.h"
#include "sensor/kernel/kernel.h"
#include "test/leak/exec/exec_hook.h"

namespace bulkhead::sensor {
namespace {

constexpr char kProgram[] = "/bin/true";
constexpr int kBlocked[] = {0, 1, 1000, 100000};

// One posix_spawn of kProgram and its end: nanoseconds by the clock, and of the processor.
int MeasureHere(int result, int times) {
  // On one processor: what it costs to wake another differs from visit to visit by more than what is measured.
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof(first), &first);
  // The datapath's descriptors were inherited: each child of a sensor would copy and close a hundred more than others.
  if (result > 3) close_range(3, static_cast<unsigned>(result) - 1, 0);
  close_range(static_cast<unsigned>(result) + 1, ~0U, 0);
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
  int times() const { return whole_ ? 100 : 300; }

  std::vector<double> Measure() const {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const auto body = [&] { return MeasureHere(ends[1], times()); };
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

  // Paths that no file has: a block may precede its file. Milliseconds that it took to publish them.
  double BlockPaths(int count) {
    std::vector<BlockedBinary> binaries;
    for (int i = 0; i < count; ++i) binaries.push_back({absl::StrCat("/nowhere/bulkhead-bench/", i), ""});
    return Apply(std::move(binaries));
  }

  // Contents whose size nobody knows: every file that runs is hashed.
  double BlockContents(int count) {
    std::vector<BlockedBinary> binaries;
    for (int i = 0; i < count; ++i) binaries.push_back({"", Sha256(absl::StrCat("bulkhead-bench ", i))});
    return Apply(std::move(binaries));
  }

  // What the sensor does twice a second, in milliseconds.
  double Maintain() {
    const bench::Stopwatch watch;
    REQUIRE_OK(datapath_->Maintain().status());
    return watch.Wall() / 1e6;
  }

  // Runs of each attached program for one exec, and nanoseconds of a run, as the kernel counts them.
  void PrintPrograms(const char* what) {
    const UniqueFd counting(bpf_enable_stats(BPF_STATS_RUN_TIME));
    REQUIRE(counting.valid());
    const auto observed = datapath_->Observe();
    REQUIRE_OK(observed.status());
    const std::vector<bpf_prog_info> before = Infos(observed->receipt.programs);
    Measure();
    const std::vector<bpf_prog_info> after = Infos(observed->receipt.programs);
    std::printf("%s\n", what);
    for (size_t i = 0; i < after.size(); ++i) {
      const double runs = static_cast<double>(after[i].run_cnt - before[i].run_cnt);
      const double time = static_cast<double>(after[i].run_time_ns - before[i].run_time_ns);
      if (runs > 0) std::printf("  %-16s %8.2f runs %8.0f ns each\n", after[i].name, runs / times(), time / runs);
    }
  }

  double Observe() {
    const bench::Stopwatch watch;
    REQUIRE_OK(datapath_->Observe().status());
    return watch.Wall() / 1e6;
  }

  // Unless it is open: in a guest that takes a while.
  void Open() {
    if (datapath_ != nullptr) return;
    auto opened = OpenDatapath(options_);
    REQUIRE_OK(opened.status());
    datapath_ = std::move(*opened);
  }
  void Close() {
    if (datapath_ == nullptr) return;
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
  static std::vector<bpf_prog_info> Infos(const std::vector<AttachedProgram>& programs) {
    std::vector<bpf_prog_info> infos(programs.size());
    for (size_t i = 0; i < programs.size(); ++i) {
      const UniqueFd program(bpf_prog_get_fd_by_id(programs[i].program_id));
      uint32_t size = sizeof(infos[i]);
      REQUIRE(bpf_obj_get_info_by_fd(program.get(), &infos[i], &size) == 0);
    }
    return infos;
  }

  double Apply(std::vector<BlockedBinary> binaries) {
    DesiredState state;
    state.sensor_id = "bench";
    state.generation = ++generation_;
    state.digest[0] = static_cast<uint8_t>(generation_);
    state.digest[1] = static_cast<uint8_t>(generation_ >> 8);
    if (!binaries.empty()) {
      Policy& policy = state.policies.emplace_back();
      policy.id = "33333333-3333-4333-8333-333333333333";
      policy.policy_template = PolicyTemplate::kBlockBinary;
      policy.action = PolicyAction::kDeny;
      policy.block_list = "bench";
      policy.blocked = std::move(binaries);
    }
    const bench::Stopwatch watch;
    REQUIRE_OK(datapath_->Apply(state));
    return watch.Wall() / 1e6;
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
  std::vector<bench::Configuration> configurations;
  configurations.push_back({"nothing", [&] { host.Close(); }, {}});
  configurations.push_back({"path match in sys_execve",
                            [&] {
                              host.Close();
                              host.Hook(true);
                            },
                            [&] { host.Hook(false); }});
  for (const int count : kBlocked) {
    configurations.push_back({absl::StrCat("Bulkhead, ", count, " blocked paths"),
                              [&host, count] {
                                host.Open();
                                host.BlockPaths(count);
                              },
                              {}});
  }
  for (const int count : {1, 100000}) {
    if (!hashes) break;
    configurations.push_back({absl::StrCat("Bulkhead, ", count, " blocked contents"),
                              [&host, count] {
                                host.Open();
                                host.BlockContents(count);
                                host.Measure();  // hashes
                              },
                              {}});
  }
  host.Measure();
  // What the change of configuration left to do, the kernel does during the first: it is not counted.
  const auto measure = [&] {
    host.Measure();
    return host.Measure();
  };
  const auto values = bench::MeasureInTurn(configurations, host.whole() ? 4 : 20, measure);
  bench::PrintBesideFirst(configurations, values, 1, "posix_spawn of /bin/true and its end, ns of the processor");
  bench::PrintBesideFirst(configurations, values, 0, "the same, ns by the clock");
}

TEST_CASE("what each program takes of it") {
  Host host;
  host.Open();
  host.PrintPrograms("nothing blocked");
  host.BlockPaths(1000);
  host.PrintPrograms("1 000 paths");
  if (!host.CanHash()) return;
  host.BlockContents(1);
  host.Measure();  // hashes
  host.PrintPrograms("a content");
}

// KiB of the whole machine that are not to be had; of this process.
std::pair<long, long> Memory() {
  const auto field = [](const char* file, const std::string& name) {
    std::ifstream lines(file);
    for (std::string word; lines >> word;) {
      long value = 0;
      if (word == name && lines >> value) return value;
    }
    return 0L;
  };
  return {field("/proc/meminfo", "MemTotal:") - field("/proc/meminfo", "MemAvailable:"),
          field("/proc/self/status", "VmRSS:")};
}

TEST_CASE("a set of blocked files is published and looked after") {
  std::printf("%-28s %10s %10s %10s %10s %12s %12s\n", "", "publish", "again", "maintain", "observe", "machine KiB",
              "sensor KiB");
  const auto row = [](const char* what, int count, const std::function<double(Host&)>& block) {
    Host host;
    host.Open();
    const auto [machine, own] = Memory();
    const double first = block(host);
    const auto [machine_now, own_now] = Memory();
    const double again = block(host);
    const double maintain = (host.Maintain(), host.Maintain());
    std::printf("%-28s %7.1f ms %7.1f ms %7.1f ms %7.1f ms %12ld %12ld\n", absl::StrCat(count, " ", what).c_str(),
                first, again, maintain, host.Observe(), machine_now - machine, own_now - own);
  };
  for (const int count : kBlocked) row("blocked paths", count, [count](Host& host) { return host.BlockPaths(count); });
  for (const int count : kBlocked) {
    row("blocked contents", count, [count](Host& host) { return host.BlockContents(count); });
  }
}

}  // namespace
}  // namespace bulkhead::sensor
