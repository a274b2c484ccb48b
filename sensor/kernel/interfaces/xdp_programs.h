// XDP programs of others: what they send passes no wall, so they are detached behind one.
#pragma once

#include <string>
#include <vector>

namespace bulkhead::sensor {

// What became of them, in words for the operator.
struct Detached {
  std::vector<std::string> done;
  std::vector<std::string> left;  // still attached, and why
};

// Detaches every XDP program from every interface of the calling thread's network namespace, whether by netlink or by a
// link, and adds what it did.
void DetachXdp(Detached* detached);

}  // namespace bulkhead::sensor
