// Shows an absl::Status when an assertion about it fails.
#pragma once

#include <catch2/catch.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::test {

inline absl::Status StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace bulkhead::test

// REQUIRE_OK(expr) and CHECK_CODE(expr, kInvalidArgument): like REQUIRE and CHECK, and print the status.
#define REQUIRE_OK(expr)                                                      \
  do {                                                                        \
    const absl::Status bulkhead_checked = ::bulkhead::test::StatusOf((expr)); \
    INFO(bulkhead_checked.ToString());                                        \
    REQUIRE(bulkhead_checked.ok());                                           \
  } while (false)
#define CHECK_CODE(expr, wanted)                                              \
  do {                                                                        \
    const absl::Status bulkhead_checked = ::bulkhead::test::StatusOf((expr)); \
    INFO(bulkhead_checked.ToString());                                        \
    CHECK(bulkhead_checked.code() == absl::StatusCode::wanted);               \
  } while (false)
