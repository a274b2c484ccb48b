// One question to the kernel's rtnetlink.
#pragma once

#include <libmnl/libmnl.h>

#include <string>

#include "absl/status/status.h"

namespace bulkhead::sensor {

// Sends `request` from the calling thread's network namespace, and calls `take` with `data` for each message of the
// answer: those of a dump, or the one. `what` is for the error, which is the kernel's errno by ErrnoToStatus.
absl::Status AskRtnetlink(nlmsghdr* request, const std::string& what, mnl_cb_t take, void* data);

}  // namespace bulkhead::sensor
