// Turns an errno into an absl::Status, in one place.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

// `error` is an errno, positive or negative (libbpf returns negative ones). `what` names verb and object: "open
// /etc/x". ENOENT becomes NotFound, EACCES and EPERM PermissionDenied, EEXIST AlreadyExists, ENOSPC, EMFILE, ENFILE,
// E2BIG and ENOMEM ResourceExhausted, EINVAL InvalidArgument, EOPNOTSUPP and ENOSYS Unimplemented, EAGAIN and EINTR
// Unavailable, the rest Internal.
absl::Status ErrnoToStatus(int error, absl::string_view what);

// Adds "while <context>: " in front of the message and keeps code and payloads. OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace bulkhead
