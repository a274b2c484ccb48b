// bulkheadctl has to succeed.
#pragma once

#include <catch2/catch.hpp>

#include "e2e/system.h"

// The Result of `system.Ctl(...)`, with a `system` that is in scope; ends the test case with what was printed when the
// exit code is not 0.
#define REQUIRE_CTL(...)                           \
  [&] {                                            \
    const Result result = system.Ctl(__VA_ARGS__); \
    INFO(result.err << result.out);                \
    REQUIRE(result.exit_code == 0);                \
    return result;                                 \
  }()
