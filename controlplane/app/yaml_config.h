// Reads CLI11 options from a YAML file, so that flags and file share names, types and checks.
#pragma once

#include <memory>

#include "CLI/CLI.hpp"

namespace bulkhead::controlplane {

// A mapping of option names to a scalar or a list of scalars; anything else throws CLI::ConversionError, which CLI11
// reports with the file's name.
std::shared_ptr<CLI::Config> MakeYamlConfig();

}  // namespace bulkhead::controlplane
