// Keeps libbpf's last warning of each thread.
#include "sensor/kernel/libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <utility>

namespace bulkhead::sensor {
namespace {

thread_local std::string last_warning;

int KeepWarning(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string text(line);
  // The first warning says what failed; those after it say that its parts failed, too.
  if (last_warning.empty()) last_warning = text.substr(0, text.find('\n'));
  return 0;
}

}  // namespace

void CaptureLibbpfLog() {
  libbpf_set_print(KeepWarning);
}

std::string TakeLibbpfWarning() {
  return std::exchange(last_warning, std::string());
}

}  // namespace bulkhead::sensor
