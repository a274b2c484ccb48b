// Facts about this host, read once at start.
#pragma once

#include <string>

#include "sensor/domain/control_plane_link.h"

namespace bulkhead::sensor {

// What cannot be read stays empty: no fact is worth failing for. The instance id is another at each call.
HostFacts ReadHostFacts(const std::string& scope);

// PRETTY_NAME of an os-release file; empty when there is none.
std::string PrettyName(const std::string& os_release);

// Path of the running program, through all links; empty when /proc is not mounted.
std::string OwnExecutable();

}  // namespace bulkhead::sensor
