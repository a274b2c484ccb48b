// Who may do what: roles are named sets of permissions, and each method of the API needs one permission.
#include "controlplane/domain/roles.h"

#include <utility>

#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

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
    {"sensors:manage", kAdmin},                       // disable, enable, revoke, delete, label
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
    {"/bulkhead.v1.EnrollmentService/RevokeEnrollmentToken", "tokens:manage"},
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

bool IsRole(absl::string_view role) {
  return RoleBit(role) != 0;
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
  if (RoleHas(op.role, permission)) return absl::OkStatus();
  return PermissionDenied(op.name, op.role, permission.empty() ? "of a sensor" : permission);
}

std::vector<absl::string_view> MethodsWithPermission() {
  std::vector<absl::string_view> methods;
  for (const MethodRow& row : kMethods) methods.push_back(row.method);
  return methods;
}

}  // namespace bulkhead::controlplane
