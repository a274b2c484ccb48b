// bulkheadctl key and proposal: operators' signing keys, and orders that wait for a second signature.
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/order_approval_service.grpc.pb.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/signing.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;
constexpr mode_t kSecretMode = 0600;

using Stub = v1::OrderApprovalService::Stub;

struct KeyFlags {
  std::string out;
  SignFlags sign;
};

struct Flags : OrderFlags {
  std::string id;
  std::string file;
  bool pending = false;
  SignFlags sign;
};

absl::Status Generate(Session& session, const KeyFlags& flags) {
  if (access(flags.out.c_str(), F_OK) == 0) {
    return UsageError(absl::StrCat(flags.out, " exists; a key is never overwritten"));
  }
  std::string passphrase;
  if (!flags.sign.passphrase_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.sign.passphrase_file));
    passphrase = std::string(absl::StripTrailingAsciiWhitespace(text));
    if (passphrase.empty()) return UsageError(absl::StrCat(flags.sign.passphrase_file, " is empty"));
  }
  ASSIGN_OR_RETURN(const OrderSigningKey key, OrderSigningKey::Generate());
  ASSIGN_OR_RETURN(const std::string pem, key.ToPem(passphrase));
  RETURN_IF_ERROR(WriteFileAtomically(flags.out, pem, kSecretMode));
  session.terminal().out << OrderPublicKeyText(key.public_key()) << "\n";
  session.terminal().err << "key " << OrderKeyId(key.public_key()) << " is in " << flags.out
                         << "; the line above is for the sensors' order-keys file: key YOUR-NAME …\n";
  return absl::OkStatus();
}

absl::Status ShowPublic(Session& session, const KeyFlags& flags) {
  ASSIGN_OR_RETURN(const OrderSigningKey key, ReadSigningKey(session, flags.sign));
  session.terminal().out << OrderPublicKeyText(key.public_key()) << "\n";
  return absl::OkStatus();
}

absl::StatusOr<v1::GetOrderProposalResponse> Fetch(Session& session, const std::string& id) {
  v1::GetOrderProposalRequest request;
  request.set_id(id);
  return session.Call(&Stub::GetOrderProposal, request);
}

absl::Status List(Session& session, const Flags& flags) {
  v1::ListOrderProposalsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListOrderProposalsRequest request;
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        if (flags.pending) request.set_state(v1::PROPOSAL_STATE_PENDING);
        return session.Call(&Stub::ListOrderProposals, request);
      },
      [&](const v1::ListOrderProposalsResponse& page) { all.mutable_proposals()->MergeFrom(page.proposals()); }));
  return session.Print(all, RenderProposals(all, session.now()));
}

absl::Status Show(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const v1::GetOrderProposalResponse response, Fetch(session, flags.id));
  return session.Print(response, RenderProposal(response.proposal()));
}

absl::Status Approve(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const OrderSigningKey key, ReadSigningKey(session, flags.sign));
  ASSIGN_OR_RETURN(const v1::GetOrderProposalResponse found, Fetch(session, flags.id));
  const std::string& statement = found.proposal().order().statement();
  RETURN_IF_ERROR(ShowAndConfirm(session, flags, statement, flags.id));
  ASSIGN_OR_RETURN(const OrderSignature signature, key.Sign(statement));
  v1::ApproveOrderProposalRequest request;
  request.set_id(flags.id);
  request.mutable_signature()->set_key_id(signature.key_id);
  request.mutable_signature()->set_signature(signature.signature);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const v1::ApproveOrderProposalResponse response,
                   session.Call(&Stub::ApproveOrderProposal, request, flags.request_id));
  return ReportProposal(session, flags, response, response.proposal());
}

absl::Status Reject(Session& session, const Flags& flags) {
  v1::RejectOrderProposalRequest request;
  request.set_id(flags.id);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  ASSIGN_OR_RETURN(const v1::RejectOrderProposalResponse response,
                   session.Call(&Stub::RejectOrderProposal, request, flags.request_id));
  return session.Print(response, RenderProposal(response.proposal()));
}

absl::Status SignFile(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const OrderSigningKey key, ReadSigningKey(session, flags.sign));
  ASSIGN_OR_RETURN(v1::SignedOrder order, ReadSignedOrder(flags.file));
  RETURN_IF_ERROR(ShowAndConfirm(session, flags, order.statement(), flags.file));
  ASSIGN_OR_RETURN(const OrderSignature signature, key.Sign(order.statement()));
  v1::OrderSignature* const added = order.add_signatures();
  added->set_key_id(signature.key_id);
  added->set_signature(signature.signature);
  RETURN_IF_ERROR(WriteSignedOrder(flags.file, order));
  session.terminal().out << flags.file << " has " << order.signatures_size() << " signatures\n";
  return absl::OkStatus();
}

absl::Status Submit(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const v1::SignedOrder order, ReadSignedOrder(flags.file));
  return SubmitSigned(session, flags, /*allow_degraded=*/false, order);
}

void AddChangeFlags(CLI::App& verb, Flags& flags) {
  verb.add_option("--reason", flags.reason, "Why, for the audit log")->type_name("TEXT");
  AddRequestIdFlag(verb, flags);
}

}  // namespace

void AddKeyCommands(CLI::App& root, Action& action) {
  CLI::App* key = root.add_subcommand("key", "Your key for signing orders; it never leaves this machine");
  key->require_subcommand(1);
  const auto generate_flags = std::make_shared<KeyFlags>();
  CLI::App* generate = AddVerb(*key, action, "generate", "Make an Ed25519 key and print its public half",
                               "Does: write PKCS#8 in PEM, mode 0600, encrypted with --passphrase-file.\n"
                               "The public half goes into the order-keys file of the sensors that shall trust it.\n"
                               "Example: bulkheadctl key generate --out alice.pem --passphrase-file alice.pass",
                               generate_flags, Generate);
  generate->add_option("--out", generate_flags->out, "File for the key; must not exist")->required()->type_name("FILE");
  generate->add_option("--passphrase-file", generate_flags->sign.passphrase_file, "Encrypt with what is in this file")
      ->type_name("FILE");
  const auto public_flags = std::make_shared<KeyFlags>();
  CLI::App* show = AddVerb(*key, action, "public", "Print the public half of a key",
                           "Example: bulkheadctl key public alice.pem", public_flags, ShowPublic);
  show->add_option("key", public_flags->sign.key_file, "The key")->required()->type_name("FILE");
  show->add_option("--passphrase-file", public_flags->sign.passphrase_file, "File with its passphrase (default: asked)")
      ->type_name("FILE");
}

void AddProposalCommands(CLI::App& root, Action& action) {
  CLI::App* proposal = root.add_subcommand("proposal", "Signed orders, and those that wait for a second signature");
  proposal->require_subcommand(1);
  const auto list_flags = std::make_shared<Flags>();
  AddVerb(*proposal, action, "list", "List signed orders, newest first", "Example: bulkheadctl proposal list --pending",
          list_flags, List)
      ->add_flag("--pending", list_flags->pending, "Only those that wait for signatures");

  const auto add = [&](const std::string& name, const std::string& help, const std::string& more, auto run) {
    const auto flags = std::make_shared<Flags>();
    CLI::App* verb = AddVerb(*proposal, action, name, help, more, flags, run);
    return std::pair(verb, flags);
  };
  const auto [show, show_flags] = add("show", "Show one", "Example: bulkheadctl proposal show PROPOSAL", Show);
  show->add_option("id", show_flags->id, "Id of the proposal")->required()->type_name("PROPOSAL");

  const auto [approve, approve_flags] =
      add("approve", "Sign an order that another operator proposed; it is given once it is complete",
          "Shows what the bytes that you sign say, not what the control plane says about them, and asks.\n"
          "Example: bulkheadctl proposal approve PROPOSAL --sign-key bob.pem --wait",
          Approve);
  approve->add_option("id", approve_flags->id, "Id of the proposal")->required()->type_name("PROPOSAL");
  AddSignKeyFlags(*approve, approve_flags->sign);
  AddYesFlag(*approve, *approve_flags);
  AddChangeFlags(*approve, *approve_flags);
  AddWaitFlags(*approve, *approve_flags, "every sensor has it");

  const auto [reject, reject_flags] =
      add("reject", "End an order that waits for signatures",
          "Example: bulkheadctl proposal reject PROPOSAL --reason \"wrong host\"", Reject);
  reject->add_option("id", reject_flags->id, "Id of the proposal")->required()->type_name("PROPOSAL");
  AddChangeFlags(*reject, *reject_flags);

  const auto [sign, sign_flags] = add("sign", "Add a signature to an order in a file, without a control plane",
                                      "Example: bulkheadctl proposal sign order.json --sign-key bob.pem", SignFile);
  sign->add_option("file", sign_flags->file, "What --sign-only wrote")->required()->type_name("FILE");
  AddSignKeyFlags(*sign, sign_flags->sign);
  AddYesFlag(*sign, *sign_flags);

  const auto [submit, submit_flags] = add("submit", "Give an order that is signed in a file",
                                          "Example: bulkheadctl proposal submit order.json --wait", Submit);
  submit->add_option("file", submit_flags->file, "What --sign-only wrote")->required()->type_name("FILE");
  AddChangeFlags(*submit, *submit_flags);
  AddWaitFlags(*submit, *submit_flags, "every sensor has it");
}

}  // namespace bulkhead::controlplane::cli
