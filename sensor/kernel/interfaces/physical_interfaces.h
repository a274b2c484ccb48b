// The interfaces that lead out of this host.
#pragma once

#include <vector>

namespace bulkhead::sensor {

// Indices of the interfaces of this thread's network namespace that have a device behind them (PCI, virtio, USB). What
// is stacked on them (bonds, bridges, VLANs, tunnels, macvlan) sends through them. Empty where there is none, as in a
// container whose only interface is one end of a veth pair.
std::vector<int> PhysicalInterfaces();

}  // namespace bulkhead::sensor
