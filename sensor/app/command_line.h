// The command line of bulkhead-sensor: subcommands, flags, help.
#pragma once

namespace bulkhead::sensor {

// Parses, runs the subcommand, prints an error to standard error. 0: done. 1: it failed. 2: the command line or the
// options file is wrong.
int RunCommandLine(int argc, char** argv);

}  // namespace bulkhead::sensor
