// bulkheadctl role and operator: who may do what.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;

struct Flags : OrderFlags {
  std::string name;
  std::string role;
  std::vector<std::string> permissions;
};

absl::Status ListRoles(Session& session, const Flags&) {
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AccessService::Stub::ListRoles, v1::ListRolesRequest()));
  Table table({"ROLE", "BY", "PERMISSIONS"});
  for (const v1::Role& role : response.roles()) {
    table.AddRow(
        {role.name(), role.built_in() ? "built in" : role.created_by(), absl::StrJoin(role.permissions(), ",")});
  }
  return session.Print(response, table.ToString());
}

absl::Status CreateRole(Session& session, const Flags& flags) {
  v1::CreateRoleRequest request;
  request.set_name(flags.name);
  for (const std::string& permission : flags.permissions) request.add_permissions(permission);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AccessService::Stub::CreateRole, request, flags.request_id));
  return session.Print(response,
                       absl::StrCat("role ", flags.name, ": ", absl::StrJoin(response.role().permissions(), ","),
                                    "\nuse:  bulkheadctl operator set-role OPERATOR ", flags.name, "\n"));
}

absl::Status DeleteRole(Session& session, const Flags& flags) {
  v1::DeleteRoleRequest request;
  request.set_name(flags.name);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AccessService::Stub::DeleteRole, request, flags.request_id));
  return session.Print(response, absl::StrCat("role ", flags.name, " is deleted\n"));
}

absl::Status ListOperators(Session& session, const Flags&) {
  v1::ListOperatorsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListOperatorsRequest request;
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::AccessService::Stub::ListOperators, request);
      },
      [&](const v1::ListOperatorsResponse& page) { all.mutable_operators()->MergeFrom(page.operators()); }));
  Table table({"OPERATOR", "ROLE", "STATE", "AGE"});
  for (const v1::Operator& op : all.operators()) {
    table.AddRow(
        {op.name(), op.role(), op.disabled() ? "disabled" : "enabled", AgeWord(op.created_at(), session.now())});
  }
  return session.Print(all, table.ToString());
}

// What the three orders about one operator have in common.
template <typename Request>
Request RequestFor(const Flags& flags) {
  Request request;
  request.set_operator_name(flags.name);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  return request;
}

absl::Status SetRole(Session& session, const Flags& flags) {
  auto request = RequestFor<v1::SetOperatorRoleRequest>(flags);
  request.set_role(flags.role);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::AccessService::Stub::SetOperatorRole, request, flags.request_id));
  return session.Print(response, absl::StrCat("operator ", flags.name, " has the role ", flags.role, "\n"));
}

absl::Status Disable(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AccessService::Stub::DisableOperator,
                                                     RequestFor<v1::DisableOperatorRequest>(flags), flags.request_id));
  return session.Print(response, absl::StrCat("operator ", flags.name, " is disabled\n"));
}

absl::Status Enable(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AccessService::Stub::EnableOperator,
                                                     RequestFor<v1::EnableOperatorRequest>(flags), flags.request_id));
  return session.Print(response, absl::StrCat("operator ", flags.name, " is enabled\n"));
}

// A verb that names a role or an operator, with the flags of an order.
std::pair<CLI::App*, std::shared_ptr<Flags>> AddOrderVerb(CLI::App& noun, Action& action, const std::string& name,
                                                          const std::string& help, const std::string& more,
                                                          const std::string& what,
                                                          absl::Status (*run)(Session&, const Flags&)) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* verb = AddVerb(noun, action, name, help, more, flags, run);
  verb->add_option("name", flags->name, absl::StrCat("Name of the ", what))->required()->type_name("NAME");
  verb->add_option("--reason", flags->reason, "Why, for the audit log")->type_name("TEXT");
  AddRequestIdFlag(*verb, *flags);
  return {verb, flags};
}

}  // namespace

void AddRoleCommands(CLI::App& root, Action& action) {
  CLI::App* role = root.add_subcommand("role", "Named sets of permissions");
  role->require_subcommand(1);
  AddVerb(*role, action, "list", "List roles with their permissions",
          "The permissions of admin are all that there are.\nExample: bulkheadctl role list", std::make_shared<Flags>(),
          ListRoles);
  const auto [create, flags] =
      AddOrderVerb(*role, action, "create", "Make a role",
                   "Does not: give it to anybody; operator set-role and issue-operator --role do.\n"
                   "Undo: bulkheadctl role delete NAME\n"
                   "Example: bulkheadctl role create ci --permission sensors:read --permission sensors:contain",
                   "role", CreateRole);
  create->add_option("--permission", flags->permissions, "As role list shows them; repeatable")
      ->required()
      ->type_name("PERMISSION")
      ->expected(1)
      ->take_all();
  AddOrderVerb(*role, action, "delete", "Delete a role that no operator has",
               "Undo: bulkheadctl role create NAME\nExample: bulkheadctl role delete ci", "role", DeleteRole);
}

void AddOperatorCommands(CLI::App& root, Action& action) {
  CLI::App* oper = root.add_subcommand("operator", "Who calls, and with which role");
  oper->require_subcommand(1);
  AddVerb(*oper, action, "list", "List operators",
          "New ones are made on the control plane's machine: bulkhead-controlplane issue-operator.\n"
          "Example: bulkheadctl operator list",
          std::make_shared<Flags>(), ListOperators);
  const auto [set_role, flags] = AddOrderVerb(
      *oper, action, "set-role", "Give an operator another role, from the next call on",
      "Does not: give what you do not have.\nExample: bulkheadctl operator set-role ci ci", "operator", SetRole);
  set_role->add_option("role", flags->role, "viewer, operator, admin, or one of role list")
      ->required()
      ->type_name("ROLE");
  AddOrderVerb(
      *oper, action, "disable", "Refuse every call of an operator, and end their watches",
      "Does not: take back what they ordered, nor end their rollouts.\nUndo: bulkheadctl operator enable NAME\n"
      "Example: bulkheadctl operator disable ada --reason \"key was lost\"",
      "operator", Disable);
  AddOrderVerb(*oper, action, "enable", "Undo operator disable", "Example: bulkheadctl operator enable ada", "operator",
               Enable);
}

}  // namespace bulkhead::controlplane::cli
