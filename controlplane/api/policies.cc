// PolicyService: list, get and lift enforcement policies.
#include "bulkhead/v1/policy_service.pb.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/read_mask.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::ListEnforcementPoliciesResponse> List(const ApiContext& api,
                                                         const v1::ListEnforcementPoliciesRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  if (!request.sensor().empty()) RETURN_IF_ERROR(ValidateSensorReference("sensor", request.sensor()));
  ASSIGN_OR_RETURN(const ReadMask mask, ReadMask::Parse(request.read_mask(), *v1::EnforcementPolicy::descriptor()));
  Page<Policy> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    std::string sensor_id;
    if (!request.sensor().empty()) {
      ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(request.sensor(), /*lock=*/false));
      sensor_id = sensor.id;
    }
    ASSIGN_OR_RETURN(page, tx.ListPolicies(sensor_id, page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListEnforcementPoliciesResponse response;
  for (const Policy& policy : page.items) {
    v1::EnforcementPolicy& listed = *response.add_policies();
    listed = ToProto(policy);
    mask.Trim(&listed);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::GetEnforcementPolicyResponse> Get(const ApiContext& api,
                                                     const v1::GetEnforcementPolicyRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  v1::GetEnforcementPolicyResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Policy policy, tx.GetPolicy(request.id()));
    *response.mutable_policy() = ToProto(policy);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::DeleteEnforcementPolicyResponse> Delete(const ApiContext& api, Transaction& tx,
                                                           const OrderContext& context,
                                                           const v1::DeleteEnforcementPolicyRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  ASSIGN_OR_RETURN(const Policy wanted, tx.GetPolicy(request.id()));
  const bool is_wall = wanted.policy_template == PolicyTemplate::kNetworkContainment ||
                       wanted.policy_template == PolicyTemplate::kNetworkIsolation;
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, is_wall ? OrderKind::kRelease : OrderKind::kUnblock));
  ASSIGN_OR_RETURN(const Policy policy, orders::DeletePolicy(tx, context, request.id()));
  v1::DeleteEnforcementPolicyResponse response;
  *response.mutable_policy() = ToProto(policy);
  return response;
}

}  // namespace

void AddPolicyMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListEnforcementPoliciesRequest, v1::ListEnforcementPoliciesResponse>(
      api, table, "/bulkhead.v1.PolicyService/ListEnforcementPolicies", List);
  AddRead<v1::GetEnforcementPolicyRequest, v1::GetEnforcementPolicyResponse>(
      api, table, "/bulkhead.v1.PolicyService/GetEnforcementPolicy", Get);
  AddOrder<v1::DeleteEnforcementPolicyRequest, v1::DeleteEnforcementPolicyResponse>(
      api, table, "/bulkhead.v1.PolicyService/DeleteEnforcementPolicy", Delete);
}

}  // namespace bulkhead::controlplane
