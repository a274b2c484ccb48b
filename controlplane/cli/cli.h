// bulkheadctl as a function: arguments in, exit code out.
#pragma once

#include <string>
#include <vector>

#include "controlplane/cli/session.h"
#include "controlplane/cli/terminal.h"

namespace bulkhead::controlplane::cli {

// Parses `args` (without the program's name), runs the command and returns the exit code of outcome.h. `connector` is
// called once, by commands that talk to the control plane.
int RunCli(const std::vector<std::string>& args, Terminal& terminal, const Connector& connector);

}  // namespace bulkhead::controlplane::cli
