// IsolationRuleService: list, add and remove the global exceptions to isolation.
#include "bulkhead/v1/policy_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::ListIsolationRulesResponse> List(const ApiContext& api,
                                                    const v1::ListIsolationRulesRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  Page<IsolationRule> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListIsolationRules(page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListIsolationRulesResponse response;
  for (const IsolationRule& rule : page.items) *response.add_rules() = ToProto(rule);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::CreateIsolationRuleResponse> Create(const ApiContext& api, Transaction& tx,
                                                       const OrderContext& context,
                                                       const v1::CreateIsolationRuleRequest& request) {
  // An omitted rule must not become "any address, any port".
  if (!request.has_rule()) return InvalidField("rule", "must be set");
  if (!request.rule().id().empty()) return InvalidField("rule.id", "must be empty; the control plane gives it");
  if (request.rule().has_created_at())
    return InvalidField("rule.created_at", "must be unset; the control plane gives it");
  if (!request.rule().created_by().empty())
    return InvalidField("rule.created_by", "must be empty; the control plane gives it");
  ASSIGN_OR_RETURN(IsolationRule rule, ParseIsolationRule(InputOf(request.rule())));
  ASSIGN_OR_RETURN(const orders::RuleChanged changed,
                   orders::CreateIsolationRule(tx, context, std::move(rule), api.clock->Now()));
  v1::CreateIsolationRuleResponse response;
  *response.mutable_rule() = ToProto(changed.rule);
  response.set_sensors_affected(changed.sensors_affected);
  return response;
}

absl::StatusOr<v1::DeleteIsolationRuleResponse> Delete(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                       const v1::DeleteIsolationRuleRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  ASSIGN_OR_RETURN(const orders::RuleChanged changed, orders::DeleteIsolationRule(tx, context, request.id()));
  v1::DeleteIsolationRuleResponse response;
  *response.mutable_rule() = ToProto(changed.rule);
  response.set_sensors_affected(changed.sensors_affected);
  return response;
}

}  // namespace

void AddIsolationRuleMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListIsolationRulesRequest, v1::ListIsolationRulesResponse>(
      api, table, "/bulkhead.v1.IsolationRuleService/ListIsolationRules", List);
  AddOrder<v1::CreateIsolationRuleRequest, v1::CreateIsolationRuleResponse>(
      api, table, "/bulkhead.v1.IsolationRuleService/CreateIsolationRule", Create);
  AddOrder<v1::DeleteIsolationRuleRequest, v1::DeleteIsolationRuleResponse>(
      api, table, "/bulkhead.v1.IsolationRuleService/DeleteIsolationRule", Delete);
}

}  // namespace bulkhead::controlplane
