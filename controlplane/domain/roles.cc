// Who may do what: roles are named sets of permissions, and each method of the API needs one permission.
#include "controlplane/domain/roles.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxRoleBytes = 64;
constexpr unsigned kViewer = 1;
constexpr unsigned kOperator = 2;
constexpr unsigned kAdmin = 4;

struct PermissionRow {
  absl::string_view permission;
  unsigned roles;
};

// The one table of roles.
constexpr PermissionRow kPermissions[] = {
    {"sensors:read", kViewer | kOperator | kAdmin},   // sensors, their state, their commands
    {"policies:read", kViewer | kOperator | kAdmin},  // enforcement policies and isolation rules
    {"audit:read", kViewer | kOperator | kAdmin},     // the audit log and its check
    {"events:read", kViewer | kOperator | kAdmin},    // what sensors saw
    {"sensors:contain", kOperator | kAdmin},          // contain, isolate, release, block, kill, lift a policy; rollouts
    {"guard:lower", kAdmin},                          // the tamper guard, and its offline code
    {"agents:manage", kOperator | kAdmin},            // the global isolation rules
    {"tokens:read", kOperator | kAdmin},              // enrollment tokens, without their secrets
    {"sensors:manage", kAdmin},                       // disable, enable, revoke, delete, label, clear-clone
    {"access:manage", kAdmin},                        // roles, and which operator has which
    {"tokens:manage", kAdmin},                        // make and revoke enrollment tokens
};

struct MethodRow {
  absl::string_view method;
  absl::string_view permission;
};

// Enroll and Connect are missing on purpose: they are for sensors, which have no role.
constexpr MethodRow kMethods[] = {
    {"/bulkhead.v1.SensorService/ListSensors", "sensors:read"},
    {"/bulkhead.v1.SensorService/GetSensor", "sensors:read"},
    {"/bulkhead.v1.SensorService/WatchSensors", "sensors:read"},
    {"/bulkhead.v1.SensorService/GetCommand", "sensors:read"},
    {"/bulkhead.v1.SensorService/ContainSensor", "sensors:contain"},
    {"/bulkhead.v1.SensorService/ReleaseSensor", "sensors:contain"},
    {"/bulkhead.v1.SensorService/IsolateSensor", "sensors:contain"},
    {"/bulkhead.v1.SensorService/KillProcess", "sensors:contain"},
    {"/bulkhead.v1.SensorService/KillProcesses", "sensors:contain"},
    {"/bulkhead.v1.SensorService/BlockBinary", "sensors:contain"},
    {"/bulkhead.v1.SensorService/SetAllowList", "sensors:contain"},
    {"/bulkhead.v1.SensorService/LowerGuard", "guard:lower"},
    {"/bulkhead.v1.SensorService/CreateGuardCode", "guard:lower"},
    {"/bulkhead.v1.SensorService/DisableSensor", "sensors:manage"},
    {"/bulkhead.v1.SensorService/EnableSensor", "sensors:manage"},
    {"/bulkhead.v1.SensorService/RevokeSensor", "sensors:manage"},
    {"/bulkhead.v1.SensorService/DeleteSensor", "sensors:manage"},
    {"/bulkhead.v1.SensorService/ClearCloneSuspicion", "sensors:manage"},
    {"/bulkhead.v1.SensorService/SetSensorLabels", "sensors:manage"},
    {"/bulkhead.v1.RolloutService/GetRollout", "sensors:read"},
    {"/bulkhead.v1.RolloutService/ListRollouts", "sensors:read"},
    {"/bulkhead.v1.RolloutService/ListRolloutTargets", "sensors:read"},
    {"/bulkhead.v1.RolloutService/WatchRollout", "sensors:read"},
    {"/bulkhead.v1.RolloutService/CreateRollout", "sensors:contain"},
    {"/bulkhead.v1.RolloutService/CancelRollout", "sensors:contain"},
    {"/bulkhead.v1.RolloutService/ResumeRollout", "sensors:contain"},
    {"/bulkhead.v1.OrderApprovalService/ListOrderProposals", "sensors:read"},
    {"/bulkhead.v1.OrderApprovalService/GetOrderProposal", "sensors:read"},
    {"/bulkhead.v1.OrderApprovalService/SubmitOrder", "sensors:contain"},  // to lower a guard, guard:lower too
    {"/bulkhead.v1.OrderApprovalService/ApproveOrderProposal", "sensors:contain"},
    {"/bulkhead.v1.OrderApprovalService/RejectOrderProposal", "sensors:contain"},
    {"/bulkhead.v1.PolicyService/ListEnforcementPolicies", "policies:read"},
    {"/bulkhead.v1.PolicyService/GetEnforcementPolicy", "policies:read"},
    {"/bulkhead.v1.PolicyService/DeleteEnforcementPolicy", "sensors:contain"},
    {"/bulkhead.v1.IsolationRuleService/ListIsolationRules", "policies:read"},
    {"/bulkhead.v1.IsolationRuleService/CreateIsolationRule", "agents:manage"},
    {"/bulkhead.v1.IsolationRuleService/DeleteIsolationRule", "agents:manage"},
    {"/bulkhead.v1.EnrollmentService/CreateEnrollmentToken", "tokens:manage"},
    {"/bulkhead.v1.EnrollmentService/ListEnrollmentTokens", "tokens:read"},
    {"/bulkhead.v1.EnrollmentService/ListEnrollmentTokenUses", "tokens:read"},
    {"/bulkhead.v1.EnrollmentService/RevokeEnrollmentToken", "tokens:manage"},
    {"/bulkhead.v1.CertificateService/GetTrustBundle", "sensors:read"},
    {"/bulkhead.v1.AccessService/ListRoles", "sensors:read"},
    {"/bulkhead.v1.AccessService/CreateRole", "access:manage"},
    {"/bulkhead.v1.AccessService/DeleteRole", "access:manage"},
    {"/bulkhead.v1.AccessService/ListOperators", "access:manage"},
    {"/bulkhead.v1.AccessService/SetOperatorRole", "access:manage"},
    {"/bulkhead.v1.AccessService/DisableOperator", "access:manage"},
    {"/bulkhead.v1.AccessService/EnableOperator", "access:manage"},
    {"/bulkhead.v1.AuditService/ListAuditRecords", "audit:read"},
    {"/bulkhead.v1.AuditService/VerifyAuditLog", "audit:read"},
    {"/bulkhead.v1.AuditService/ExportAuditRecords", "audit:read"},
    {"/bulkhead.v1.AuditService/GetAuditHead", "audit:read"},
    {"/bulkhead.v1.EventService/ListEvents", "events:read"},
    {"/bulkhead.v1.EventService/ListEventCounts", "events:read"},
    {"/bulkhead.v1.EventService/WatchEvents", "events:read"},
};

unsigned RoleBit(absl::string_view role) {
  if (role == "viewer") return kViewer;
  if (role == "operator") return kOperator;
  if (role == "admin") return kAdmin;
  return 0;
}

}  // namespace

bool IsBuiltInRole(absl::string_view role) {
  return RoleBit(role) != 0;
}

std::vector<absl::string_view> BuiltInRoles() {
  return {"viewer", "operator", "admin"};
}

std::vector<std::string> KnownPermissions() {
  return PermissionsOfBuiltIn("admin");
}

std::vector<std::string> PermissionsOfBuiltIn(absl::string_view role) {
  std::vector<std::string> permissions;
  for (const PermissionRow& row : kPermissions) {
    if ((row.roles & RoleBit(role)) != 0) permissions.emplace_back(row.permission);
  }
  std::sort(permissions.begin(), permissions.end());
  return permissions;
}

bool OperatorHas(const Operator& op, absl::string_view permission) {
  if (IsBuiltInRole(op.role)) return RoleHas(op.role, permission);
  return !permission.empty() &&
         std::find(op.permissions.begin(), op.permissions.end(), permission) != op.permissions.end();
}

absl::Status ValidateRole(const std::string& name, const std::vector<std::string>& permissions) {
  const auto allowed = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; };
  if (name.empty() || name.size() > kMaxRoleBytes || !absl::ascii_islower(name.front()) ||
      !std::all_of(name.begin(), name.end(), allowed)) {
    return InvalidField("name", "a role's name is 1..64 of a-z, 0-9 and \"-\", starting with a letter");
  }
  if (IsBuiltInRole(name)) return InvalidField("name", "viewer, operator and admin are there already, as they are");
  if (permissions.empty()) return InvalidField("permissions", "must hold at least one permission");
  const std::vector<std::string> known = KnownPermissions();
  for (const std::string& permission : permissions) {
    if (std::find(known.begin(), known.end(), permission) != known.end()) continue;
    return InvalidField("permissions",
                        absl::StrCat("\"", absl::CHexEscape(permission), "\" is none of ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

absl::string_view PermissionFor(absl::string_view method) {
  for (const MethodRow& row : kMethods) {
    if (row.method == method) return row.permission;
  }
  return "";
}

bool RoleHas(absl::string_view role, absl::string_view permission) {
  for (const PermissionRow& row : kPermissions) {
    if (row.permission == permission) return (row.roles & RoleBit(role)) != 0;
  }
  return false;
}

absl::Status CheckPermission(const Operator& op, absl::string_view method) {
  const absl::string_view permission = PermissionFor(method);
  if (OperatorHas(op, permission)) return absl::OkStatus();
  return PermissionDenied(op.name, op.role, permission.empty() ? "of a sensor" : permission);
}

std::vector<absl::string_view> MethodsWithPermission() {
  std::vector<absl::string_view> methods;
  for (const MethodRow& row : kMethods) methods.push_back(row.method);
  return methods;
}

}  // namespace bulkhead::controlplane
