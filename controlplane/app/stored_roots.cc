// The roots that the fleet agreed on.
#include "controlplane/app/stored_roots.h"

#include "common/status_macros.h"

namespace bulkhead::controlplane {

absl::StatusOr<std::vector<PublicRoot>> ReadRoots(Store& store) {
  std::vector<PublicRoot> roots;
  RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(roots, tx.ListRoots(/*lock=*/false));
    return absl::OkStatus();
  }));
  return roots;
}

absl::Status FollowStoredRoots(Store& store, CertificateAuthority& authority) {
  ASSIGN_OR_RETURN(const std::vector<PublicRoot> roots, ReadRoots(store));
  return authority.Follow(roots, /*newest_may_issue=*/true);
}

}  // namespace bulkhead::controlplane
