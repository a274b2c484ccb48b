// bulkhead-controlplane: options, command, exit code.
#include <pthread.h>

#include <csignal>
#include <iostream>
#include <variant>

#include "absl/synchronization/mutex.h"
#include "common/log.h"
#include "controlplane/app/commands.h"
#include "controlplane/app/options.h"

namespace {

// Taken with sigtimedwait in one place; blocked before any thread exists, so that no thread is interrupted. A peer that
// closes is no signal.
void BlockSignals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

// Debian's Abseil looks for deadlocks at each lock that is taken, gRPC's included: 5 % of a profile under heartbeats,
// and 8 KiB for each stream. The builds of the suites look, the one that is deployed does not.
void IgnoreDeadlockCycles() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  IgnoreDeadlockCycles();
  using bulkhead::controlplane::EarlyExit;
  using bulkhead::controlplane::Options;
  const auto parsed = bulkhead::controlplane::OptionsFromCommandLine(argc, argv);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) {
    (exit->exit_code == 0 ? std::cout : std::cerr) << exit->text;
    return exit->exit_code;
  }
  const Options& options = std::get<Options>(parsed);
  bulkhead::ConfigureLog(options.log_level, options.log_json);
  BlockSignals();
  const absl::Status status = bulkhead::controlplane::RunCommand(options);
  if (status.ok()) return 0;
  std::cerr << "bulkhead-controlplane: " << status.ToString(absl::StatusToStringMode::kWithNoExtraData) << "\n";
  return 1;
}
