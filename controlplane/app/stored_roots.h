// The roots that the fleet agreed on, as the database has them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/pki/pki.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// Oldest first; none: no rotation was ever begun.
absl::StatusOr<std::vector<PublicRoot>> ReadRoots(Store& store);

// Has `authority` issue from the newest of them, if its key is here.
absl::Status FollowStoredRoots(Store& store, CertificateAuthority& authority);

}  // namespace bulkhead::controlplane
