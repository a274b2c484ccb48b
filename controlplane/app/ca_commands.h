// `bulkhead-controlplane ca`: the rotation of the certificate authority, on a replica's machine.
#pragma once

#include "absl/status/status.h"
#include "controlplane/app/options.h"

namespace bulkhead::controlplane {

absl::Status PrintCaStatus(const Options& options);
// Makes the new root's key here and has every replica trust it. Says what to copy to the others.
absl::Status BeginCaRotation(const Options& options);
absl::Status FinishCaRotation(const Options& options);

}  // namespace bulkhead::controlplane
