// Completion of commands, flags, names and ids in bash.
#pragma once

#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

// The script that `bulkheadctl completion bash` prints. It asks `bulkheadctl __complete -- WORDS...` at each TAB.
extern const char kBashCompletion[];

// Candidates for the last of `words` (which may be empty), given those before it; `words` does not hold the program's
// name. Names and ids are asked for from the control plane in at most a second; when it does not answer there are none.
std::vector<std::string> Complete(CLI::App& root, Session& session, const std::vector<std::string>& words);

}  // namespace bulkhead::controlplane::cli
