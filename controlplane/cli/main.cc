// The program bulkheadctl.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "controlplane/cli/cli.h"

int main(int argc, char** argv) {
  using namespace bulkhead::controlplane::cli;
  // A reader that goes away, as in `| head`, ends the output, not the program with a signal.
  signal(SIGPIPE, SIG_IGN);
  const bulkhead::RealClock clock;
  Terminal terminal{std::cin, std::cout, std::cerr, isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1, clock};
  const Connector connector = [](ConnectionOptions& options) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    auto complete = CompleteFromFile(options, [](const char* name) -> const char* { return std::getenv(name); });
    if (!complete.ok()) return complete.status();
    options = *complete;
    return OpenChannel(options);
  };
  return RunCli({argv + 1, argv + argc}, terminal, connector);
}
