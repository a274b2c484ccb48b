// A cable to a network namespace of its own, on which packets can vanish without a word.
#pragma once

#include <mutex>
#include <string>

#include "common/unique_fd.h"
#include "harness/net_sandbox.h"

namespace bulkhead::e2e {

// Thread safe. Needs root. Make it while the process has one thread.
class Wire {
 public:
  // Directions as seen from the far end, where clients are.
  enum class Loss { kNone, kToServer, kToClient, kBoth };

  Wire();

  // The address at this end, where a server listens.
  const std::string& near_address() const { return near_; }
  // A TCP socket at the far end.
  UniqueFd FarSocket() const;
  // Drops every packet in these directions from now on: nobody is told, and TCP tries again until it gives up.
  void Lose(Loss loss) const;

 private:
  mutable std::mutex mutex_;
  const bulkhead::test::SocketFactory far_;
  std::string near_;
};

}  // namespace bulkhead::e2e
