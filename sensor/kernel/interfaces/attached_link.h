// A BPF link of somebody else's on an interface.
#pragma once

#include <cstdint>

namespace bulkhead::sensor {

// Detaches the link of this type (BPF_LINK_TYPE_*) that attached the program to the interface of the calling thread's
// network namespace: what came by a link does not go any other way. False: there is none, or the kernel refuses.
bool DetachLink(uint32_t type, int interface, uint32_t program);

}  // namespace bulkhead::sensor
