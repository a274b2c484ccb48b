// Where bulkheadctl reads and writes, so that tests can stand in for a person.
#pragma once

#include <iostream>

#include "absl/time/time.h"
#include "common/clock.h"

namespace bulkhead::controlplane::cli {

// All outlive the run.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool interactive = false;  // a person is there to be asked: in and err are terminals
  const Clock& clock;
};

}  // namespace bulkhead::controlplane::cli
