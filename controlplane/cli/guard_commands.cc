// bulkheadctl sensor lower-guard and guard-code: orders to the tamper guard.
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/signing.h"
#include "controlplane/cli/wait.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr mode_t kSecretMode = 0600;

constexpr absl::Duration kStandardDown = absl::Minutes(10);

struct Flags : OrderFlags {
  std::string sensor;
  absl::Duration duration;
  absl::Duration ttl;
  std::string code_file;
  SignFlags sign;
};

// What both orders carry.
template <typename Request>
Request MakeRequest(const Flags& flags) {
  Request request;
  request.set_sensor(flags.sensor);
  request.set_reason(flags.reason);
  request.set_request_id(flags.request_id);
  if (flags.ttl != absl::ZeroDuration()) request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(flags.ttl));
  return request;
}

// Brings `command` up to date when the caller waits for its result.
absl::Status WaitIfAsked(Session& session, const Flags& flags, v1::Command* command) {
  if (!flags.wait) return absl::OkStatus();
  ASSIGN_OR_RETURN(*command, WaitForCommand(session, command->id(), flags.timeout));
  return absl::OkStatus();
}

absl::Status LowerGuard(Session& session, const Flags& flags) {
  auto request = MakeRequest<v1::LowerGuardRequest>(flags);
  if (flags.duration != absl::ZeroDuration()) {
    request.mutable_duration()->set_seconds(absl::ToInt64Seconds(flags.duration));
  }
  if (flags.sign.given()) {
    v1::OrderStatement statement;
    statement.mutable_lower_guard()->mutable_duration()->set_seconds(
        absl::ToInt64Seconds(flags.duration == absl::ZeroDuration() ? kStandardDown : flags.duration));
    return SignAndSubmit(session, flags.sign, flags, /*allow_degraded=*/false, flags.sensor, std::move(statement));
  }
  ASSIGN_OR_RETURN(v1::LowerGuardResponse response,
                   session.Call(&v1::SensorService::Stub::LowerGuard, request, flags.request_id));
  const absl::Status confirmed = WaitIfAsked(session, flags, response.mutable_command());
  if (!confirmed.ok() && session.format == OutputFormat::kTable) return confirmed;
  RETURN_IF_ERROR(session.Print(response, RenderCommand(response.command())));
  return confirmed;
}

// The code is printed also when nobody confirmed that the host has it: it is shown once.
absl::Status GuardCode(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(v1::CreateGuardCodeResponse response,
                   session.Call(&v1::SensorService::Stub::CreateGuardCode,
                                MakeRequest<v1::CreateGuardCodeRequest>(flags), flags.request_id));
  std::string code = "code:        not shown again; order a new one if it is lost\n";
  if (!response.code().empty() && flags.code_file.empty()) {
    code = absl::StrCat("code:        ", response.code(), " (shown once, stored nowhere; it works once)\n");
  } else if (!response.code().empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(flags.code_file, response.code() + "\n", kSecretMode));
    code = absl::StrCat("code:        in ", flags.code_file, "; it works once\n");
    response.clear_code();
  }
  const absl::Status confirmed = WaitIfAsked(session, flags, response.mutable_command());
  RETURN_IF_ERROR(
      session.Print(response, absl::StrCat(code, "use:         at the host's console: bulkhead-sensor lower-guard\n",
                                           RenderCommand(response.command()))));
  return confirmed;
}

void AddCommonFlags(CLI::App& verb, Flags& flags) {
  verb.add_option("sensor", flags.sensor, "Name or id")->required()->type_name("SENSOR");
  AddDuration(verb, "--ttl", flags.ttl,
              "How long the order is good for if the sensor is away, 1s to 336h (default 5m)");
  verb.add_option("--reason", flags.reason, "Why, for the audit log")->type_name("TEXT");
  AddRequestIdFlag(verb, flags);
  AddWaitFlags(verb, flags, "there is a result");
}

}  // namespace

void AddSensorGuardVerbs(CLI::App& sensor, Action& action) {
  const auto lower_flags = std::make_shared<Flags>();
  CLI::App* lower =
      AddVerb(sensor, action, "lower-guard", "Lower the sensor's tamper guard, to stop, upgrade or uninstall it",
              "Does: let root on the host stop, change and remove the sensor for a while.\n"
              "Does not: lift containment, isolation or blocked binaries. The guard comes back by itself.\n"
              "Example: bulkheadctl sensor lower-guard web-1 --for 10m --wait --reason \"upgrade to 1.4\"",
              lower_flags, LowerGuard);
  AddCommonFlags(*lower, *lower_flags);
  AddDuration(*lower, "--for", lower_flags->duration, "How long the guard stays down, 1s to 1h (default 10m)");
  AddSignFlags(*lower, lower_flags->sign, *lower_flags);

  const auto code_flags = std::make_shared<Flags>();
  CLI::App* code =
      AddVerb(sensor, action, "guard-code", "Make the code that lowers the tamper guard at the host's console, once",
              "Does: give the host the hash of a new code; the code before is void. Keep it where you find it without\n"
              "the host and without this control plane.\n"
              "Does not: lower anything. Order a new code after the old one was used.\n"
              "Example: bulkheadctl sensor guard-code web-1 --wait --code-file web-1.code",
              code_flags, GuardCode);
  AddCommonFlags(*code, *code_flags);
  code->add_option("--code-file", code_flags->code_file,
                   "Write the code to this file (mode 0600) instead of the screen")
      ->type_name("FILE");
}

}  // namespace bulkhead::controlplane::cli
