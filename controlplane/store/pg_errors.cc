// Turns libpqxx's exceptions into statuses, once, in one place.
#include "controlplane/store/pg_errors.h"

#include <pqxx/pqxx>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace bulkhead::controlplane {
namespace {

PgFailure Make(absl::StatusCode code, bool retryable, absl::string_view what, absl::string_view error,
               absl::string_view advice) {
  absl::string_view text = absl::StripAsciiWhitespace(error);
  absl::ConsumePrefix(&text, "ERROR:");
  absl::ConsumePrefix(&text, "FATAL:");
  text = absl::StripAsciiWhitespace(text);
  return {absl::Status(code, absl::StrCat(what, ": ", text, advice.empty() ? "" : "; ", advice)), retryable};
}

// Classes of SQLSTATE that libpqxx has no exception for; see appendix A of PostgreSQL's manual.
PgFailure FromSqlState(const pqxx::sql_error& error, absl::string_view what) {
  const std::string& state = error.sqlstate();
  if (absl::StartsWith(state, "57P") || absl::StartsWith(state, "08")) {
    return Make(absl::StatusCode::kUnavailable, true, what, error.what(),
                "the database is starting or stopping, try again");
  }
  // The primary was demoted or fenced; another server takes writes, or soon will.
  if (state == "25006") {
    return Make(absl::StatusCode::kUnavailable, true, what, error.what(), "this server takes no writes, try again");
  }
  if (state == "57014" || state == "55P03") {
    return Make(absl::StatusCode::kUnavailable, false, what, error.what(),
                "the database is overloaded or locked, try again");
  }
  if (state == "53300") return Make(absl::StatusCode::kUnavailable, false, what, error.what(), "raise max_connections");
  if (absl::StartsWith(state, "53")) {
    return Make(absl::StatusCode::kResourceExhausted, false, what, error.what(), "give the database more room");
  }
  if (absl::StartsWith(state, "22")) return Make(absl::StatusCode::kInvalidArgument, false, what, error.what(), "");
  return Make(absl::StatusCode::kInternal, false, what, error.what(), absl::StrCat("SQLSTATE ", state));
}

}  // namespace

PgFailure FailureFromCurrentException(absl::string_view what) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error& error) {
    return Make(absl::StatusCode::kUnknown, false, what, error.what(),
                "the change may or may not be stored; look, or repeat the call with the same request_id");
  } catch (const pqxx::statement_completion_unknown& error) {
    return Make(absl::StatusCode::kUnknown, false, what, error.what(),
                "the change may or may not be stored; look, or repeat the call with the same request_id");
  } catch (const pqxx::transaction_rollback& error) {
    return Make(absl::StatusCode::kAborted, true, what, error.what(), "");
  } catch (const pqxx::broken_connection& error) {
    return Make(absl::StatusCode::kUnavailable, true, what, error.what(), "is the database running?");
  } catch (const pqxx::unique_violation& error) {
    return Make(absl::StatusCode::kAlreadyExists, false, what, error.what(), "");
  } catch (const pqxx::integrity_constraint_violation& error) {
    return Make(absl::StatusCode::kFailedPrecondition, false, what, error.what(), "");
  } catch (const pqxx::sql_error& error) {
    return FromSqlState(error, what);
  } catch (const std::exception& error) {
    return Make(absl::StatusCode::kInternal, false, what, error.what(), "");
  }
}

}  // namespace bulkhead::controlplane
