// What was ended because it works past the wall, and what could not be, in words for the operator.
#pragma once

#include <string>
#include <vector>

#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

struct Ended {
  std::vector<std::string> done;
  std::vector<std::string> left;  // still there, and why

  // What was done goes into the receipt; what is left weakens the wall.
  void Describe(ObservedState* observed) const {
    observed->receipt.ended.insert(observed->receipt.ended.end(), done.begin(), done.end());
    observed->degraded.insert(observed->degraded.end(), left.begin(), left.end());
  }
};

}  // namespace bulkhead::sensor
