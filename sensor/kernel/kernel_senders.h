// Modules of the kernel that send packets by themselves, past every hook: found behind a wall, and unloaded.
#pragma once

#include <string>

#include "sensor/domain/observed_state.h"
#include "sensor/kernel/ended.h"

namespace bulkhead::sensor {

// netconsole sends the kernel's log, which every process may write to; pktgen sends what it is told. Both hand their
// frames to the driver, past traffic control. Not thread safe.
class KernelSenders {
 public:
  // Stops them and unloads them. New ones are refused where a security hook works (bpf/frames.bpf.c).
  void Close();

  // Forgets what was ended; for a new order.
  void Reset() { ended_ = Ended(); }

  // What was unloaded, and as degraded what could not be.
  void Describe(ObservedState* observed) const { ended_.Describe(observed); }

 private:
  void Unload(const std::string& module);

  Ended ended_;
};

}  // namespace bulkhead::sensor
