// bulkhead-sensor: parse options, run one subcommand, exit code.
#include "sensor/app/command_line.h"

int main(int argc, char** argv) {
  return bulkhead::sensor::RunCommandLine(argc, argv);
}
