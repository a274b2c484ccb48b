// Facts about this host, read once at start.
#include "sensor/app/host_facts.h"

#include <sys/utsname.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file_util.h"
#include "common/uuid.h"

namespace bulkhead::sensor {

HostFacts ReadHostFacts(const std::string& scope) {
  HostFacts facts;
  utsname name{};
  if (uname(&name) == 0) {
    facts.hostname = name.nodename;
    facts.kernel_release = name.release;
  }
  facts.boot_id = std::string(absl::StripAsciiWhitespace(ReadFile("/proc/sys/kernel/random/boot_id").value_or("")));
  facts.os = PrettyName(ReadFile("/etc/os-release").value_or(""));
  facts.sensor_version = BULKHEAD_VERSION;
  facts.scope = scope;
  facts.instance_id = NewUuid();
  return facts;
}

std::string PrettyName(const std::string& os_release) {
  for (absl::string_view line : absl::StrSplit(os_release, '\n')) {
    if (!absl::ConsumePrefix(&line, "PRETTY_NAME=")) continue;
    absl::ConsumePrefix(&line, "\"");
    absl::ConsumeSuffix(&line, "\"");
    return std::string(line);
  }
  return "";
}

std::string OwnExecutable() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : path.string();
}

}  // namespace bulkhead::sensor
