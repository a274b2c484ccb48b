// `bulkhead-controlplane ca`: the rotation of the certificate authority, on a replica's machine.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/app/options.h"
#include "controlplane/pki/pki.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

absl::Status PrintCaStatus(const Options& options);
// Makes the new root's key here and has every replica trust it. Says what to copy to the others.
absl::Status BeginCaRotation(const Options& options);
absl::Status FinishCaRotation(const Options& options);

// What the fleet agreed on, oldest first.
absl::StatusOr<std::vector<PublicRoot>> ReadRoots(Store& store);
// Has `authority` issue from the newest root that the fleet agreed on, if its key is here.
absl::Status FollowStoredRoots(Store& store, CertificateAuthority& authority);

}  // namespace bulkhead::controlplane
