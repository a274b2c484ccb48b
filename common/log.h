// Structured log lines to standard error: one JSON object a line, or text on a terminal.
#pragma once

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One key and its value; the value is anything that absl::StrCat takes.
struct LogField {
  absl::string_view key;
  std::string value;
  LogField(absl::string_view k, const absl::AlphaNum& v) : key(k), value(v.Piece().data(), v.Piece().size()) {}
};

// Sets the least level that is written and whether lines are JSON. Call once, before threads start.
void ConfigureLog(LogLevel least, bool json);

// Reads "debug", "info", "warning" or "error"; false when it is none of them.
bool ParseLogLevel(absl::string_view text, LogLevel* level);

// Writes one line. `message` is constant text in lower case, variables go into fields:
//   LogInfo("sensor connected", {{"sensor", id}, {"kernel", release}});
// Never put a secret into a field. Thread safe.
void LogDebug(absl::string_view message, std::initializer_list<LogField> fields = {});
void LogInfo(absl::string_view message, std::initializer_list<LogField> fields = {});
void LogWarning(absl::string_view message, std::initializer_list<LogField> fields = {});
void LogError(absl::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace bulkhead
