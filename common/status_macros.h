// RETURN_IF_ERROR and ASSIGN_OR_RETURN: pass an error to the caller in one line.
//
//   RETURN_IF_ERROR(store.Save(state));
//   ASSIGN_OR_RETURN(DesiredState state, store.Load());
//
// Named as in later Abseil releases, which Debian 12 does not have.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define BULKHEAD_CONCAT_INNER(a, b) a##b
#define BULKHEAD_CONCAT(a, b) BULKHEAD_CONCAT_INNER(a, b)

// The names carry the line, so that a lambda inside `expr` may use the macros too.
#define RETURN_IF_ERROR(expr) RETURN_IF_ERROR_IMPL(BULKHEAD_CONCAT(bulkhead_status_, __LINE__), expr)
#define RETURN_IF_ERROR_IMPL(var, expr) \
  do {                                  \
    absl::Status var = (expr);          \
    if (!var.ok()) return var;          \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL(BULKHEAD_CONCAT(bulkhead_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                          \
  if (!var.ok()) return var.status();         \
  lhs = std::move(var).value()
