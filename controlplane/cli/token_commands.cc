// bulkheadctl token create, list, uses and revoke: the permissions to enroll.
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/label_changes.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;
constexpr mode_t kSecretMode = 0600;

struct Flags : OrderFlags {
  std::string id;
  std::string label;
  std::string reenroll;
  std::vector<std::string> sensor_labels;  // key=value
  std::string secret_file;
  std::vector<std::string> networks;
  uint32_t uses = 1;
  absl::Duration ttl;
};

absl::Status Create(Session& session, const Flags& flags) {
  v1::CreateEnrollmentTokenRequest request;
  request.set_label(flags.label);
  request.set_reenroll_sensor(flags.reenroll);
  request.set_request_id(flags.request_id);
  request.set_max_uses(flags.uses);
  for (const std::string& network : flags.networks) request.add_allowed_networks(network);
  for (const std::string& label : flags.sensor_labels) {
    RETURN_IF_ERROR(ApplyLabel("--sensor-label", label, /*may_remove=*/false, *request.mutable_sensor_labels()));
  }
  if (flags.ttl != absl::ZeroDuration()) request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(flags.ttl));
  ASSIGN_OR_RETURN(auto response,
                   session.Call(&v1::EnrollmentService::Stub::CreateEnrollmentToken, request, flags.request_id));
  std::string text = absl::StrCat("token:  ", response.token().id(), ", expires ",
                                  AgeWord(response.token().expires_at(), session.now()), "\n");
  std::string argument = absl::StrCat("--token ", response.secret());
  if (response.secret().empty()) {
    absl::StrAppend(&text, "secret: not shown again; revoke this token and create another if it is lost\n");
    return session.Print(response, text);
  }
  if (flags.secret_file.empty()) {
    absl::StrAppend(&text, "secret: ", response.secret(), " (shown once; only its hash is stored)\n");
  } else {
    RETURN_IF_ERROR(WriteFileAtomically(flags.secret_file, response.secret(), kSecretMode));
    absl::StrAppend(&text, "secret: in ", flags.secret_file, "\n");
    argument = "--token-file FILE";
    response.clear_secret();
  }
  absl::StrAppend(&text, "use:    on the host: bulkhead-sensor enroll --control-plane ", session.connection.server,
                  " --ca ca.pem ", argument, flags.reenroll.empty() ? "" : " --force", "\n");
  return session.Print(response, text);
}

absl::Status List(Session& session, const Flags&) {
  v1::ListEnrollmentTokensResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListEnrollmentTokensRequest request;
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::EnrollmentService::Stub::ListEnrollmentTokens, request);
      },
      [&](const v1::ListEnrollmentTokensResponse& page) { all.mutable_tokens()->MergeFrom(page.tokens()); }));
  return session.Print(all, RenderTokens(all, session.now()));
}

absl::Status Uses(Session& session, const Flags& flags) {
  v1::ListEnrollmentTokenUsesResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListEnrollmentTokenUsesRequest request;
        request.set_id(flags.id);
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::EnrollmentService::Stub::ListEnrollmentTokenUses, request);
      },
      [&](const v1::ListEnrollmentTokenUsesResponse& page) { all.mutable_uses()->MergeFrom(page.uses()); }));
  return session.Print(all, RenderTokenUses(all, session.now()));
}

absl::Status Revoke(Session& session, const Flags& flags) {
  v1::RevokeEnrollmentTokenRequest request;
  request.set_id(flags.id);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::EnrollmentService::Stub::RevokeEnrollmentToken, request, flags.request_id));
  return session.Print(response, absl::StrCat("token ", response.token().id(), " is revoked\n"));
}

}  // namespace

void AddTokenCommands(CLI::App& root, Action& action) {
  CLI::App* token = root.add_subcommand("token", "Permissions to enroll hosts");
  token->require_subcommand(1);

  const auto create_flags = std::make_shared<Flags>();
  CLI::App* create =
      AddVerb(*token, action, "create", "Make a token and show its secret, once",
              "Does not: enroll anything; the host does, with the secret.\nUndo: bulkheadctl token revoke ID\n"
              "Example: bulkheadctl token create --label \"rack 7\" --ttl 24h",
              create_flags, Create);
  create->add_option("--label", create_flags->label, "What it is for, at most 128 bytes")->type_name("TEXT");
  AddDuration(*create, "--ttl", create_flags->ttl, "How long it works, 1m to 720h (default 1h)");
  create->add_option("--uses", create_flags->uses, "How many hosts may enroll with it, 1 to 10000 (default 1)")
      ->check(CLI::Range(1, 10'000));
  create
      ->add_option("--network", create_flags->networks,
                   "Prefix that a host must come from, as the control plane sees it (behind a load balancer: the "
                   "balancer's address); repeatable")
      ->type_name("PREFIX")
      ->expected(1)
      ->take_all();
  create->add_option("--reenroll", create_flags->reenroll, "Restores this revoked sensor instead of making a new one")
      ->type_name("SENSOR");
  create->add_option("--sensor-label", create_flags->sensor_labels, "Label that the new sensor starts with; repeatable")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  create
      ->add_option("--secret-file", create_flags->secret_file,
                   "Write the secret to this file (mode 0600) instead of showing it")
      ->type_name("FILE");
  AddRequestIdFlag(*create, *create_flags);

  AddVerb(*token, action, "list", "List tokens, newest first; never their secrets", "Example: bulkheadctl token list",
          std::make_shared<Flags>(), List);

  const auto uses_flags = std::make_shared<Flags>();
  AddVerb(*token, action, "uses", "List the sensors that enrolled with a token",
          "Example: bulkheadctl token uses 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77", uses_flags, Uses)
      ->add_option("id", uses_flags->id, "Id of the token")
      ->required()
      ->type_name("TOKEN");

  const auto revoke_flags = std::make_shared<Flags>();
  CLI::App* revoke = AddVerb(*token, action, "revoke", "Make a token useless at once",
                             "Does not: touch a sensor that enrolled with it (use sensor revoke).\n"
                             "Undo: none; create another token.\n"
                             "Example: bulkheadctl token revoke 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77",
                             revoke_flags, Revoke);
  revoke->add_option("id", revoke_flags->id, "Id of the token")->required()->type_name("TOKEN");
  AddRequestIdFlag(*revoke, *revoke_flags);
}

}  // namespace bulkhead::controlplane::cli
