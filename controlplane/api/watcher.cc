// What all watch calls share.
#include "controlplane/api/watcher.h"

#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"
#include "controlplane/rpc/grpc_status.h"

namespace bulkhead::controlplane {

void Watcher::End(const absl::Status& status) {
  stream_->Close(ToGrpcStatus(status), api_->clock->Now());
}

absl::Status Watcher::CheckCaller() const {
  if (caller_.identity.not_after <= api_->clock->Now()) return CertificateExpired(caller_.identity.not_after);
  const absl::StatusOr<Operator> found = api_->store->FindOperator(caller_.identity.fingerprint_hex);
  if (absl::IsNotFound(found.status())) return OperatorUnknown(caller_.name);
  RETURN_IF_ERROR(found.status());
  if (found->disabled) return OperatorDisabled(caller_.name);
  if (!OperatorHas(*found, permission_)) return PermissionDenied(found->name, found->role, permission_);
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
