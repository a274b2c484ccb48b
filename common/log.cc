// Structured log lines to standard error: one JSON object a line, or text on a terminal.
#include "common/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bulkhead {
namespace {

bool g_json = false;

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("bulkhead", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *logger;
}

// Control characters would let an attacker's process name forge a log line.
std::string Quote(absl::string_view text) {
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + '"';
}

void Write(spdlog::level::level_enum level, const char* name, absl::string_view message,
           std::initializer_list<LogField> fields) {
  if (!Logger().should_log(level)) return;
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  std::string line;
  if (g_json) {
    line = absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", name, "\",\"msg\":", Quote(message));
    for (const LogField& field : fields) absl::StrAppend(&line, ",\"", field.key, "\":", Quote(field.value));
    line += '}';
  } else {
    line = absl::StrCat(time, " ", name, " ", message);
    for (const LogField& field : fields) absl::StrAppend(&line, " ", field.key, "=", Quote(field.value));
  }
  Logger().log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

void ConfigureLog(LogLevel least, bool json) {
  g_json = json;
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  Logger().set_level(kLevels[static_cast<int>(least)]);
}

bool ParseLogLevel(absl::string_view text, LogLevel* level) {
  static constexpr std::pair<absl::string_view, LogLevel> kNames[] = {{"debug", LogLevel::kDebug},
                                                                      {"info", LogLevel::kInfo},
                                                                      {"warning", LogLevel::kWarning},
                                                                      {"error", LogLevel::kError}};
  for (const auto& [name, value] : kNames) {
    if (text == name) {
      *level = value;
      return true;
    }
  }
  return false;
}

void LogDebug(absl::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::debug, "debug", message, fields);
}
void LogInfo(absl::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::info, "info", message, fields);
}
void LogWarning(absl::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::warn, "warning", message, fields);
}
void LogError(absl::string_view message, std::initializer_list<LogField> fields) {
  Write(spdlog::level::err, "error", message, fields);
}

}  // namespace bulkhead
