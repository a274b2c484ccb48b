// Who may do what: roles are named sets of permissions, and each method of the API needs one permission.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// "viewer", "operator" or "admin".
bool IsBuiltInRole(absl::string_view role);
std::vector<absl::string_view> BuiltInRoles();

// Every permission that there is; those of a built-in role. Sorted.
std::vector<std::string> KnownPermissions();
std::vector<std::string> PermissionsOfBuiltIn(absl::string_view role);

// Whether the operator's role, built in or not, has the permission.
bool OperatorHas(const Operator& op, absl::string_view permission);

// A role that may be made: a name of 1..64 of [a-z0-9-] that starts with a letter and is not built in, and at least one
// permission, all known.
absl::Status ValidateRole(const std::string& name, const std::vector<std::string>& permissions);

// Permission that a method of the API needs, by its full name ("/bulkhead.v1.SensorService/ContainSensor"); empty for a
// method that is not in the table, which nobody may call.
absl::string_view PermissionFor(absl::string_view method);

// True when the built-in role has the permission. Any other has none; nobody has the empty permission.
bool RoleHas(absl::string_view role, absl::string_view permission);

// OK, or PermissionDenied. Pure; thread safe.
absl::Status CheckPermission(const Operator& op, absl::string_view method);

// Every method in the table, for the test that compares it with the services.
std::vector<absl::string_view> MethodsWithPermission();

}  // namespace bulkhead::controlplane
