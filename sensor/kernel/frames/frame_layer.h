// The frame wall as one layer of the datapath: there or not, watched, repaired, and described for the operator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sensor/domain/observed_state.h"
#include "sensor/kernel/frames/frame_wall.h"

namespace bulkhead::sensor {

// Never fails: a host whose kernel cannot carry the frame wall is still contained by the other walls, and says what is
// missing. Not thread safe.
class FrameLayer {
 public:
  // Opens the wall; see FrameWall::Open.
  explicit FrameLayer(std::string pin_directory);

  // For Capabilities: "frames", and the kind of hook that carries it or why none does.
  Mechanism mechanism() const;

  // Adds the programs, the counters, and, while a wall is up, what is missing to `observed`.
  void Describe(ObservedState* observed) const;

  // Proves that the kernel still calls the programs; attaches them again when it does not, and says so.
  std::vector<std::string> Repair();

 private:
  void Open();

  std::string directory_;
  std::unique_ptr<FrameWall> wall_;
  std::string problem_;  // why there is no wall, or why it is silent; empty when it works
};

}  // namespace bulkhead::sensor
