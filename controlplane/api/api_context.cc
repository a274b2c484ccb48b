// The list of resources.
#include "controlplane/api/api_context.h"

#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {

absl::Status CheckMayBeUnsigned(const ApiContext& api, OrderKind kind) {
  const uint32_t required = api.order_keys == nullptr ? 0 : api.order_keys->Required(kind);
  return required == 0 ? absl::OkStatus() : SignatureRequired(OrderKindWord(kind), required);
}

void AddApiMethods(const ApiContext& api, MethodTable& table) {
  AddSensorReadMethods(api, table);
  AddSensorOrderMethods(api, table);
  AddTamperGuardMethods(api, table);
  AddSensorAdminMethods(api, table);
  AddPolicyMethods(api, table);
  AddIsolationRuleMethods(api, table);
  AddEnrollmentMethods(api, table);
  AddAuditMethods(api, table);
  AddRolloutMethods(api, table);
  AddOrderApprovalMethods(api, table);
}

}  // namespace bulkhead::controlplane
