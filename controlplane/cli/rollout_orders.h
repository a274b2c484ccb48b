// The orders that a rollout can give, from the same flags as for one sensor.
#pragma once

#include <functional>

#include "CLI/App.hpp"
#include "absl/status/statusor.h"
#include "bulkhead/v1/rollout_service.pb.h"

namespace bulkhead::controlplane::cli {

// Makes the order of what was parsed; a usage error when the flags do not fit together.
using OrderBuilder = std::function<absl::StatusOr<v1::RolloutOrder>()>;

// Each adds the flags of one order to a verb: its action, lease and so on, but no sensor.
OrderBuilder AddContainTerms(CLI::App& verb);
OrderBuilder AddIsolateTerms(CLI::App& verb);
OrderBuilder AddReleaseTerms(CLI::App& verb);
OrderBuilder AddBlockBinaryTerms(CLI::App& verb);

}  // namespace bulkhead::controlplane::cli
