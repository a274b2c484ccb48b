// Where this kernel's overlay module keeps the file behind a file.
#pragma once

#include "bulkhead/abi.h"

namespace bulkhead::sensor {

// Read from the BTF of the kernel or of the module. `known` is 0 while the module is not loaded, or when it describes
// itself in no way that we know; files on overlays then have an identity of their own.
bh_overlay ReadOverlayLayout();

}  // namespace bulkhead::sensor
