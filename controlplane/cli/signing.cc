// Orders that an operator signs on this machine.
#include "controlplane/cli/signing.h"

#include <google/protobuf/util/json_util.h>
#include <termios.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "bulkhead/v1/order_approval_service.grpc.pb.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/wait.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr absl::Duration kPolicyValidity = absl::Hours(24);
constexpr absl::Duration kCommandValidity = absl::Minutes(5);
constexpr size_t kNonceBytes = 16;
constexpr size_t kLargestKeyFile = 1 << 16;

// A terminal that does not show what is typed; does nothing where there is no terminal.
class NoEcho {
 public:
  NoEcho() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  ~NoEcho() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

std::string AskPassphrase(Session& session, const std::string& key_file) {
  session.terminal().err << "passphrase of " << key_file << ": " << std::flush;
  std::string passphrase;
  {
    const NoEcho silent;
    std::getline(session.terminal().in, passphrase);
  }
  session.terminal().err << "\n";
  return passphrase;
}

google::protobuf::Timestamp TimestampOf(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t micros = absl::ToUnixMicros(time);
  out.set_seconds(micros / 1000000);
  out.set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
  return out;
}

// In one line what it does; the whole statement stands below it.
std::string Headline(const v1::OrderStatement& statement) {
  switch (statement.order_case()) {
    case v1::OrderStatement::kPolicy: {
      const v1::EnforcementPolicy& policy = statement.policy();
      const std::string scope = policy.has_scope() ? absl::StrCat(" of ", ScopeWord(policy.scope())) : "";
      const std::string path =
          policy.block_binary().path().empty() ? "" : absl::StrCat(" ", policy.block_binary().path());
      const std::string end = policy.has_expires_at() ? absl::StrCat(" until ", TimeWord(policy.expires_at())) : "";
      return absl::StrCat(Word(policy.template_()), " (", Word(policy.action()), ")", path, scope, end);
    }
    case v1::OrderStatement::kLift: {
      const v1::PolicySlot& slot = statement.lift();
      const std::string scope = slot.has_scope() ? absl::StrCat(" of ", ScopeWord(slot.scope())) : "";
      return absl::StrCat("LIFT ", Word(slot.template_()), slot.path().empty() ? "" : absl::StrCat(" ", slot.path()),
                          slot.list().empty() ? "" : absl::StrCat(" list ", slot.list()), scope);
    }
    case v1::OrderStatement::kKillProcess:
      return absl::StrCat("KILL pid ", statement.kill_process().pid(), " ", statement.kill_process().executable());
    case v1::OrderStatement::kKillGroup:
      return "KILL several processes";
    case v1::OrderStatement::kLowerGuard:
      return absl::StrCat("LOWER the tamper guard for ", statement.lower_guard().duration().seconds(), " s");
    case v1::OrderStatement::ORDER_NOT_SET:
      break;
  }
  return "nothing that this program knows";
}

absl::StatusOr<v1::OrderStatement> ReadBack(const std::string& bytes) {
  v1::OrderStatement statement;
  if (!statement.ParseFromString(bytes)) return absl::InvalidArgumentError("the bytes are not an order statement");
  return statement;
}

absl::StatusOr<std::string> IdOf(Session& session, const std::string& sensor) {
  v1::GetSensorRequest request;
  request.set_sensor(sensor);
  ASSIGN_OR_RETURN(const v1::GetSensorResponse response, session.Call(&v1::SensorService::Stub::GetSensor, request));
  return response.sensor().id();
}

absl::Status WaitForResults(Session& session, const OrderFlags& order, const v1::OrderProposal& proposal) {
  std::vector<Goal> goals;
  for (const v1::OrderedSensor& result : proposal.results()) {
    if (result.command_id().empty()) {
      goals.push_back({result.sensor_id(), result.sensor_name(), result.generation(), result.policy_id(),
                       result.policy_id().empty()});
    } else {
      RETURN_IF_ERROR(WaitForCommand(session, result.command_id(), order.timeout).status());
    }
  }
  return goals.empty() ? absl::OkStatus() : WaitForKernels(session, goals, order.timeout).status();
}

}  // namespace

void AddSignKeyFlags(CLI::App& verb, SignFlags& sign) {
  verb.add_option("--sign-key", sign.key_file,
                  "Sign with this key (bulkheadctl key generate); it stays on this machine")
      ->type_name("FILE");
  verb.add_option("--passphrase-file", sign.passphrase_file, "File with the key's passphrase (default: asked)")
      ->type_name("FILE");
}

void AddSignFlags(CLI::App& verb, SignFlags& sign, OrderFlags& order) {
  AddSignKeyFlags(verb, sign);
  AddDuration(verb, "--valid", sign.valid_for,
              "How long what is signed may be taken, at most 720h (default 24h; a kill or the guard: 5m)");
  verb.add_option("--sign-only", sign.out_file, "Send nothing: write the signed order to this file")->type_name("FILE");
  verb.add_option("--also", sign.also, "A further sensor that this signature is for; may be repeated")
      ->type_name("SENSOR");
  AddYesFlag(verb, order);
}

absl::StatusOr<OrderSigningKey> ReadSigningKey(Session& session, const SignFlags& sign) {
  if (!sign.given()) return UsageError("give the key: --sign-key FILE");
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(sign.key_file, kLargestKeyFile));
  std::string passphrase;
  if (!sign.passphrase_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(sign.passphrase_file, kLargestKeyFile));
    passphrase = std::string(absl::StripTrailingAsciiWhitespace(text));
  }
  absl::StatusOr<OrderSigningKey> key = OrderSigningKey::FromPem(pem, passphrase);
  if (absl::IsFailedPrecondition(key.status()) && session.terminal().interactive) {
    key = OrderSigningKey::FromPem(pem, AskPassphrase(session, sign.key_file));
  }
  if (!key.ok()) {
    return absl::Status(key.status().code(), absl::StrCat(sign.key_file, " ", key.status().message(),
                                                          "\n  to do: --passphrase-file, or the right file"));
  }
  return key;
}

absl::Status ShowAndConfirm(Session& session, const OrderFlags& order, const std::string& bytes,
                            const std::string& name) {
  ASSIGN_OR_RETURN(const v1::OrderStatement statement, ReadBack(bytes));
  ASSIGN_OR_RETURN(const std::string all, ToYaml(statement));
  session.terminal().err << "You sign: " << Printable(Headline(statement)) << "\n  for     "
                         << absl::StrJoin(statement.sensor_ids(), "\n          ") << "\n  taken until "
                         << TimeWord(statement.expires_at()) << "\n"
                         << all << std::flush;
  return Confirm(session, order, "Sensors that trust this key do this, whoever hands it to them.", name);
}

absl::Status SignAndSubmit(Session& session, const SignFlags& sign, const OrderFlags& order, bool allow_degraded,
                           const std::string& sensor, v1::OrderStatement statement) {
  ASSIGN_OR_RETURN(const OrderSigningKey key, ReadSigningKey(session, sign));
  ASSIGN_OR_RETURN(*statement.add_sensor_ids(), IdOf(session, sensor));
  for (const std::string& also : sign.also) {
    ASSIGN_OR_RETURN(*statement.add_sensor_ids(), IdOf(session, also));
  }
  const absl::Duration standard = statement.has_policy() || statement.has_lift() ? kPolicyValidity : kCommandValidity;
  const absl::Time now = absl::Now();
  statement.set_version(1);
  statement.set_nonce(RandomBytes(kNonceBytes));
  *statement.mutable_issued_at() = TimestampOf(now);
  *statement.mutable_expires_at() =
      TimestampOf(now + (sign.valid_for == absl::ZeroDuration() ? standard : sign.valid_for));
  v1::SignedOrder out;
  out.set_statement(statement.SerializeAsString());
  RETURN_IF_ERROR(ShowAndConfirm(session, order, out.statement(), sensor));
  ASSIGN_OR_RETURN(const OrderSignature signature, key.Sign(out.statement()));
  out.add_signatures()->set_key_id(signature.key_id);
  out.mutable_signatures(0)->set_signature(signature.signature);
  if (sign.out_file.empty()) return SubmitSigned(session, order, allow_degraded, out);
  RETURN_IF_ERROR(WriteSignedOrder(sign.out_file, out));
  session.terminal().out << "signed order in " << sign.out_file
                         << "; a second operator: bulkheadctl proposal sign; then: bulkheadctl proposal submit\n";
  return absl::OkStatus();
}

absl::Status SubmitSigned(Session& session, const OrderFlags& order, bool allow_degraded,
                          const v1::SignedOrder& signed_order) {
  v1::SubmitOrderRequest request;
  *request.mutable_order() = signed_order;
  request.set_reason(order.reason);
  request.set_request_id(order.request_id);
  request.set_allow_degraded(allow_degraded);
  ASSIGN_OR_RETURN(const v1::SubmitOrderResponse response,
                   session.Call(&v1::OrderApprovalService::Stub::SubmitOrder, request, order.request_id));
  return ReportProposal(session, order, response, response.proposal());
}

absl::Status ReportProposal(Session& session, const OrderFlags& order, const google::protobuf::Message& response,
                            const v1::OrderProposal& proposal) {
  const bool ordered = proposal.state() == v1::PROPOSAL_STATE_ORDERED;
  const absl::Status confirmed = order.wait && ordered ? WaitForResults(session, order, proposal) : absl::OkStatus();
  std::string text = RenderProposal(proposal);
  if (!ordered) {
    absl::StrAppend(&text, "next:        another operator: bulkheadctl proposal approve ", proposal.id(),
                    " --sign-key FILE\n");
  } else if (order.wait && confirmed.ok()) {
    absl::StrAppend(&text, "confirmed:   by every sensor\n");
  }
  RETURN_IF_ERROR(session.Print(response, text));
  return confirmed;
}

std::string RenderProposal(const v1::OrderProposal& proposal) {
  const absl::StatusOr<v1::OrderStatement> statement = ReadBack(proposal.order().statement());
  std::string text = absl::StrCat(
      FieldLine("proposal", proposal.id()), FieldLine("state", Word(v1::ProposalState_descriptor(), proposal.state())),
      FieldLine("order", statement.ok() ? Printable(Headline(*statement)) : "unreadable"),
      FieldLine("signatures", absl::StrCat(proposal.approvals_size(), " of ", proposal.signatures_required())));
  for (const v1::OrderApproval& approval : proposal.approvals()) {
    absl::StrAppend(
        &text, FieldLine("signed by", absl::StrCat(Printable(approval.operator_()), " with key ",
                                                   Printable(approval.key_id()), " at ", TimeWord(approval.time()))));
  }
  absl::StrAppend(&text, FieldLine("reason", Printable(proposal.reason())),
                  FieldLine("expires", TimeWord(proposal.expires_at())),
                  FieldLine("ended by", Printable(proposal.ended_by())));
  for (const v1::OrderedSensor& result : proposal.results()) {
    const std::string made = !result.command_id().empty()  ? absl::StrCat("command ", result.command_id())
                             : !result.policy_id().empty() ? absl::StrCat("policy ", result.policy_id())
                                                           : "lifted";
    absl::StrAppend(&text, FieldLine("ordered", absl::StrCat(Printable(result.sensor_name()), ": ", made)));
  }
  return text;
}

std::string RenderProposals(const v1::ListOrderProposalsResponse& proposals, absl::Time now) {
  Table table({"ID", "STATE", "ORDER", "SENSORS", "SIGNATURES", "BY", "AGE"});
  for (const v1::OrderProposal& proposal : proposals.proposals()) {
    const absl::StatusOr<v1::OrderStatement> statement = ReadBack(proposal.order().statement());
    table.AddRow({proposal.id(), Word(v1::ProposalState_descriptor(), proposal.state()),
                  statement.ok() ? Headline(*statement) : "unreadable",
                  statement.ok() ? absl::StrCat(statement->sensor_ids_size()) : "",
                  absl::StrCat(proposal.approvals_size(), "/", proposal.signatures_required()), proposal.created_by(),
                  AgeWord(proposal.created_at(), now)});
  }
  return table.ToString();
}

absl::Status WriteSignedOrder(const std::string& path, const v1::SignedOrder& order) {
  ASSIGN_OR_RETURN(const std::string json, ToJson(order));
  return WriteFileAtomically(path, json, 0644);
}

absl::StatusOr<v1::SignedOrder> ReadSignedOrder(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  v1::SignedOrder order;
  if (const auto status = google::protobuf::util::JsonStringToMessage(json, &order); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a signed order, as --sign-only writes it"));
  }
  return order;
}

}  // namespace bulkhead::controlplane::cli
