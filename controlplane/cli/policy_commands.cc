// bulkheadctl policy list, get, learned and delete: everything in force on the fleet, each with the id that lifts it.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/cli/allow_list_file.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/signing.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;

struct Flags : OrderFlags {
  std::string sensor;
  std::string id;
  bool paths = false;
  SignFlags sign;
};

absl::Status List(Session& session, const Flags& flags) {
  v1::ListEnforcementPoliciesResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListEnforcementPoliciesRequest request;
        request.set_sensor(flags.sensor);
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::PolicyService::Stub::ListEnforcementPolicies, request);
      },
      [&](const v1::ListEnforcementPoliciesResponse& page) { all.mutable_policies()->MergeFrom(page.policies()); }));
  return session.Print(all, RenderPolicies(all, session.now()));
}

absl::Status Get(Session& session, const Flags& flags) {
  v1::GetEnforcementPolicyRequest request;
  request.set_id(flags.id);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::PolicyService::Stub::GetEnforcementPolicy, request));
  return session.Print(response, RenderPolicy(response.policy()));
}

// Signed is what is lifted, not the id, which is the control plane's word.
absl::Status SignDelete(Session& session, const Flags& flags) {
  v1::GetEnforcementPolicyRequest request;
  request.set_id(flags.id);
  ASSIGN_OR_RETURN(const auto found, session.Call(&v1::PolicyService::Stub::GetEnforcementPolicy, request));
  const v1::EnforcementPolicy& policy = found.policy();
  v1::OrderStatement statement;
  v1::PolicySlot& slot = *statement.mutable_lift();
  slot.set_template_(policy.template_());
  if (policy.has_scope()) *slot.mutable_scope() = policy.scope();
  slot.set_path(policy.block_binary().path());
  slot.set_list(policy.block_binary().list().name());
  if (slot.path().empty()) slot.set_sha256(policy.block_binary().sha256());
  return SignAndSubmit(session, flags.sign, flags, /*allow_degraded=*/false, policy.sensor_id(), std::move(statement));
}

absl::Status Delete(Session& session, const Flags& flags) {
  if (flags.sign.given()) return SignDelete(session, flags);
  v1::DeleteEnforcementPolicyRequest request;
  flags.Fill(request);
  request.set_id(flags.id);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::PolicyService::Stub::DeleteEnforcementPolicy, request, flags.request_id));
  // The response names the policy as it was; the generation to wait for is the sensor's.
  v1::GetSensorRequest which;
  which.set_sensor(response.policy().sensor_id());
  ASSIGN_OR_RETURN(v1::GetSensorResponse owner, session.Call(&v1::SensorService::Stub::GetSensor, which));
  const std::string text = absl::StrCat(owner.sensor().name(), ": ", response.policy().name(), " is deleted\n");
  return ReportOrder(session, flags, called, response, *owner.mutable_sensor(), "", text);
}

// What ran in the scope of a list that learns, as the sensor reported it last.
absl::Status ShowLearned(Session& session, const Flags& flags) {
  v1::GetEnforcementPolicyRequest request;
  request.set_id(flags.id);
  ASSIGN_OR_RETURN(const auto found, session.Call(&v1::PolicyService::Stub::GetEnforcementPolicy, request));
  v1::GetSensorRequest which;
  which.set_sensor(found.policy().sensor_id());
  ASSIGN_OR_RETURN(const v1::GetSensorResponse owner, session.Call(&v1::SensorService::Stub::GetSensor, which));
  v1::ObservedPolicy seen;
  for (const v1::ObservedPolicy& candidate : owner.sensor().observed().policies()) {
    if (candidate.policy_id() == found.policy().id()) seen = candidate;
  }
  if (!found.policy().allow_list().learn()) {
    return absl::FailedPreconditionError(
        absl::StrCat("policy ", flags.id, " does not learn; order one with bulkheadctl sensor allow-list --learn"));
  }
  if (seen.policy_id().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(owner.sensor().name(), " has not reported this policy yet"));
  }
  std::string text = absl::StrCat("# learned in ", ScopeWord(found.policy().scope()), " of ", owner.sensor().name(),
                                  ", reported ", TimeWord(owner.sensor().observed_at()), "\n");
  if (seen.learned_truncated()) absl::StrAppend(&text, "# NOT COMPLETE: more ran than fits\n");
  if (!seen.degraded().empty()) absl::StrAppend(&text, "# ", seen.degraded(), "\n");
  for (v1::AllowedBinary binary : seen.learned()) {
    if (flags.paths && FitsLine(binary.path())) binary.clear_sha256();
    text += AllowListLine(binary);
  }
  return session.Print(seen, text);
}

}  // namespace

void AddPolicyCommands(CLI::App& root, Action& action) {
  CLI::App* policy = root.add_subcommand("policy", "What is in force on the fleet; deleting a policy lifts it");
  policy->require_subcommand(1);

  const auto list_flags = std::make_shared<Flags>();
  CLI::App* list = AddVerb(*policy, action, "list", "List enforcement policies, newest first",
                           "Example: bulkheadctl policy list --sensor web-1", list_flags, List);
  list->add_option("--sensor", list_flags->sensor, "Only those of this sensor (name or id)")->type_name("SENSOR");

  const auto get_flags = std::make_shared<Flags>();
  CLI::App* get = AddVerb(*policy, action, "get", "Show one enforcement policy",
                          "How often it stopped something shows: bulkheadctl sensor get SENSOR\n"
                          "Example: bulkheadctl policy get 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77",
                          get_flags, Get);
  get->add_option("id", get_flags->id, "Id of the policy")->required()->type_name("POLICY");

  const auto learned_flags = std::make_shared<Flags>();
  CLI::App* learned =
      AddVerb(*policy, action, "learned", "Print what ran in the scope of an allow-list that learns",
              "Prints what bulkheadctl sensor allow-list --file takes, with the digest of each file. With --paths a\n"
              "path stands for whatever file is there, so that the list outlives an upgrade.\n"
              "Example: bulkheadctl policy learned 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77 > nginx.list",
              learned_flags, ShowLearned);
  learned->add_flag("--paths", learned_flags->paths, "Without digests, but for files whose path is not known");
  learned->add_option("id", learned_flags->id, "Id of the policy")->required()->type_name("POLICY");

  const auto delete_flags = std::make_shared<Flags>();
  CLI::App* remove =
      AddVerb(*policy, action, "delete", "Lift one enforcement policy",
              "Does: the same as sensor release for a network policy; for a blocked binary, lets it run again.\n"
              "Undo: give the order again (sensor contain, isolate, block-binary or allow-list).\n"
              "Example: bulkheadctl policy delete 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77 --wait",
              delete_flags, Delete);
  remove->add_option("id", delete_flags->id, "Id of the policy")->required()->type_name("POLICY");
  AddReasonAndEtagFlags(*remove, *delete_flags);
  AddRequestIdFlag(*remove, *delete_flags);
  AddWaitFlags(*remove, *delete_flags, "the kernel has let go of it");
  AddSignFlags(*remove, delete_flags->sign, *delete_flags);
}

}  // namespace bulkhead::controlplane::cli
