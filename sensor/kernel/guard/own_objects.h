// This process's BPF objects: shows each to the tamper guard, which takes what the sensor opens under its protection.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace bulkhead::sensor {

// Opens by id every BPF map and program that this process holds or that is pinned below `pin_directory`, and every map
// that such a program uses, and closes it again. Errors about one object do not keep the others from being shown.
absl::Status TouchOwnObjects(const std::string& pin_directory);

}  // namespace bulkhead::sensor
