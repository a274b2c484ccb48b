// Tells systemd that the service is ready, stopping or alive (sd_notify's protocol).
#pragma once

#include <string>

namespace bulkhead::controlplane {

// Sends `state` ("READY=1", "STOPPING=1", "WATCHDOG=1") to $NOTIFY_SOCKET; does nothing when there is none.
void NotifySystemd(const std::string& state);

}  // namespace bulkhead::controlplane
