// The list of resources.
#include "controlplane/api/api_context.h"

namespace bulkhead::controlplane {

void AddApiMethods(const ApiContext& api, MethodTable& table) {
  AddSensorReadMethods(api, table);
  AddSensorOrderMethods(api, table);
  AddTamperGuardMethods(api, table);
  AddSensorAdminMethods(api, table);
  AddPolicyMethods(api, table);
  AddIsolationRuleMethods(api, table);
  AddEnrollmentMethods(api, table);
  AddAccessMethods(api, table);
  AddCertificateMethods(api, table);
  AddAuditMethods(api, table);
  AddRolloutMethods(api, table);
}

}  // namespace bulkhead::controlplane
