// AccessService: roles, and which operator has which.
#include "bulkhead/v1/access_service.pb.h"
#include "controlplane/api/api_context.h"
#include "controlplane/api/handlers.h"
#include "controlplane/domain/roles.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

v1::Role ToProto(const Role& role) {
  v1::Role proto;
  proto.set_name(role.name);
  for (const std::string& permission : role.permissions) proto.add_permissions(permission);
  proto.set_created_by(role.created_by);
  *proto.mutable_created_at() = controlplane::ToProto(role.created_at);
  return proto;
}

v1::Operator ToProto(const Operator& op) {
  v1::Operator proto;
  proto.set_name(op.name);
  proto.set_role(op.role);
  proto.set_disabled(op.disabled);
  *proto.mutable_created_at() = controlplane::ToProto(op.created_at);
  return proto;
}

absl::StatusOr<v1::ListRolesResponse> ListRoles(const ApiContext& api, const v1::ListRolesRequest&) {
  std::vector<Role> made;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(made, tx.ListRoles());
    return absl::OkStatus();
  }));
  v1::ListRolesResponse response;
  for (const absl::string_view name : BuiltInRoles()) {
    v1::Role& role = *response.add_roles();
    role.set_name(std::string(name));
    role.set_built_in(true);
    for (const std::string& permission : PermissionsOfBuiltIn(name)) role.add_permissions(permission);
  }
  for (const Role& role : made) *response.add_roles() = ToProto(role);
  for (const std::string& permission : KnownPermissions()) response.add_known_permissions(permission);
  return response;
}

absl::StatusOr<v1::CreateRoleResponse> CreateRole(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                  const v1::CreateRoleRequest& request) {
  Role wanted{.name = request.name(),
              .permissions = {request.permissions().begin(), request.permissions().end()},
              .created_by = {},
              .created_at = {}};
  ASSIGN_OR_RETURN(const Role role, orders::CreateRole(tx, context, std::move(wanted)));
  v1::CreateRoleResponse response;
  *response.mutable_role() = ToProto(role);
  return response;
}

absl::StatusOr<v1::DeleteRoleResponse> DeleteRole(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                  const v1::DeleteRoleRequest& request) {
  RETURN_IF_ERROR(orders::DeleteRole(tx, context, request.name()));
  return v1::DeleteRoleResponse();
}

absl::StatusOr<v1::ListOperatorsResponse> ListOperators(const ApiContext& api,
                                                        const v1::ListOperatorsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  Page<Operator> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListOperators(page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListOperatorsResponse response;
  for (const Operator& op : page.items) *response.add_operators() = ToProto(op);
  response.set_next_page_token(page.next_page_token);
  return response;
}

// The answer of every order that changes an operator.
template <typename Response>
absl::StatusOr<Response> Changed(const absl::StatusOr<Operator>& op) {
  RETURN_IF_ERROR(op.status());
  Response response;
  *response.mutable_operator_record() = ToProto(*op);
  return response;
}

absl::StatusOr<v1::SetOperatorRoleResponse> SetRole(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                    const v1::SetOperatorRoleRequest& request) {
  return Changed<v1::SetOperatorRoleResponse>(
      orders::SetOperatorRole(tx, context, request.operator_name(), request.role()));
}

absl::StatusOr<v1::DisableOperatorResponse> Disable(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                    const v1::DisableOperatorRequest& request) {
  return Changed<v1::DisableOperatorResponse>(
      orders::SetOperatorDisabled(tx, context, request.operator_name(), /*disabled=*/true));
}

absl::StatusOr<v1::EnableOperatorResponse> Enable(const ApiContext&, Transaction& tx, const OrderContext& context,
                                                  const v1::EnableOperatorRequest& request) {
  return Changed<v1::EnableOperatorResponse>(
      orders::SetOperatorDisabled(tx, context, request.operator_name(), /*disabled=*/false));
}

}  // namespace

void AddAccessMethods(const ApiContext& api, MethodTable& table) {
  const std::string service = "/bulkhead.v1.AccessService/";
  AddRead<v1::ListRolesRequest, v1::ListRolesResponse>(api, table, service + "ListRoles", ListRoles);
  AddOrder<v1::CreateRoleRequest, v1::CreateRoleResponse>(api, table, service + "CreateRole", CreateRole);
  AddOrder<v1::DeleteRoleRequest, v1::DeleteRoleResponse>(api, table, service + "DeleteRole", DeleteRole);
  AddRead<v1::ListOperatorsRequest, v1::ListOperatorsResponse>(api, table, service + "ListOperators", ListOperators);
  AddOrder<v1::SetOperatorRoleRequest, v1::SetOperatorRoleResponse>(api, table, service + "SetOperatorRole", SetRole);
  AddOrder<v1::DisableOperatorRequest, v1::DisableOperatorResponse>(api, table, service + "DisableOperator", Disable);
  AddOrder<v1::EnableOperatorRequest, v1::EnableOperatorResponse>(api, table, service + "EnableOperator", Enable);
}

}  // namespace bulkhead::controlplane
