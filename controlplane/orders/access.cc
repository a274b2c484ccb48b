// Orders about who may do what: roles, and which operator has which.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

constexpr int kMaxRoles = 100;

std::string OperatorTarget(const std::string& name) {
  return absl::StrCat("operator/", name);
}

// Nobody gives what they do not have.
absl::Status CheckMayGive(Transaction& tx, const OrderContext& context, const std::vector<std::string>& permissions) {
  ASSIGN_OR_RETURN(const Operator giver, tx.GetOperator(context.actor, /*lock=*/false));
  for (const std::string& permission : permissions) {
    if (!OperatorHas(giver, permission)) return RoleBeyondCaller(giver.name, permission);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PermissionsOfRole(Transaction& tx, const std::string& role) {
  if (IsBuiltInRole(role)) return PermissionsOfBuiltIn(role);
  ASSIGN_OR_RETURN(const Role made, tx.GetRole(role, /*hold=*/true));
  return made.permissions;
}

}  // namespace

absl::StatusOr<Role> CreateRole(Transaction& tx, const OrderContext& context, Role role) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  std::sort(role.permissions.begin(), role.permissions.end());
  role.permissions.erase(std::unique(role.permissions.begin(), role.permissions.end()), role.permissions.end());
  RETURN_IF_ERROR(ValidateRole(role.name, role.permissions));
  RETURN_IF_ERROR(CheckMayGive(tx, context, role.permissions));
  ASSIGN_OR_RETURN(const std::vector<Role> others, tx.ListRoles());
  if (others.size() >= kMaxRoles) return TooManyRoles(kMaxRoles);
  role.created_by = context.actor;
  RETURN_IF_ERROR(tx.InsertRole(role));
  JsonObject details;
  details.Add("permissions", absl::StrJoin(role.permissions, ","));
  RETURN_IF_ERROR(Audit(tx, context, "role_created", absl::StrCat("role/", role.name), false, details));
  return tx.GetRole(role.name, /*hold=*/false);
}

absl::Status DeleteRole(Transaction& tx, const OrderContext& context, const std::string& name) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  if (IsBuiltInRole(name)) return InvalidField("name", "viewer, operator and admin are never deleted");
  RETURN_IF_ERROR(tx.DeleteRole(name));
  return Audit(tx, context, "role_deleted", absl::StrCat("role/", name), false);
}

absl::StatusOr<Operator> SetOperatorRole(Transaction& tx, const OrderContext& context, const std::string& name,
                                         const std::string& role) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateOperatorName("operator_name", name));
  ASSIGN_OR_RETURN(const std::vector<std::string> permissions, PermissionsOfRole(tx, role));
  RETURN_IF_ERROR(CheckMayGive(tx, context, permissions));
  ASSIGN_OR_RETURN(Operator target, tx.GetOperator(name, /*lock=*/true));
  const std::string before = std::exchange(target.role, role);
  const bool unchanged = before == role;
  if (!unchanged) RETURN_IF_ERROR(tx.UpdateOperator(target));
  JsonObject details;
  details.Add("role", role).Add("role_before", before);
  RETURN_IF_ERROR(Audit(tx, context, "operator_role_set", OperatorTarget(name), unchanged, details));
  return tx.GetOperator(name, /*lock=*/false);
}

absl::StatusOr<Operator> SetOperatorDisabled(Transaction& tx, const OrderContext& context, const std::string& name,
                                             bool disabled) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateOperatorName("operator_name", name));
  ASSIGN_OR_RETURN(Operator target, tx.GetOperator(name, /*lock=*/true));
  if (!disabled) {
    ASSIGN_OR_RETURN(const std::vector<std::string> permissions, PermissionsOfRole(tx, target.role));
    RETURN_IF_ERROR(CheckMayGive(tx, context, permissions));
  }
  const bool unchanged = std::exchange(target.disabled, disabled) == disabled;
  if (!unchanged) RETURN_IF_ERROR(tx.UpdateOperator(target));
  RETURN_IF_ERROR(
      Audit(tx, context, disabled ? "operator_disabled" : "operator_enabled", OperatorTarget(name), unchanged));
  return tx.GetOperator(name, /*lock=*/false);
}

}  // namespace bulkhead::controlplane::orders
