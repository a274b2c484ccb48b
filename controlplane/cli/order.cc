// What all orders share: their flags, and the report of what came of them.
#include "controlplane/cli/order.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/wait.h"

namespace bulkhead::controlplane::cli {

void AddRequestIdFlag(CLI::App& verb, OrderFlags& flags) {
  flags.request_id = NewUuid();
  verb.add_option("--request-id", flags.request_id,
                  "Id of this order, so that repeating it is safe (default: a new one)")
      ->type_name("ID");
}

void AddReasonAndEtagFlags(CLI::App& verb, OrderFlags& flags) {
  verb.add_option("--reason", flags.reason, "Why, for the audit log")->type_name("TEXT");
  verb.add_option("--etag", flags.etag, "Refuse if it changed since this etag was shown")->type_name("ETAG");
}

void AddWaitFlags(CLI::App& verb, OrderFlags& flags, const std::string& waits_for) {
  verb.add_flag("--wait", flags.wait,
                absl::StrCat("Return once ", waits_for, "; exit code 3 if that fails or takes too long"));
  AddDuration(verb, "--timeout", flags.timeout, "How long --wait waits (default 30s)");
}

void AddYesFlag(CLI::App& verb, OrderFlags& flags) {
  verb.add_flag("--yes", flags.yes, "Do not ask");
}

CLI::Option* AddDuration(CLI::App& verb, const std::string& name, absl::Duration& value, const std::string& help) {
  const auto parse = [&value, name](const std::string& text) {
    if (!absl::ParseDuration(text, &value) || value <= absl::ZeroDuration() || value == absl::InfiniteDuration()) {
      throw CLI::ValidationError(name,
                                 absl::StrCat("\"", text, "\" is not a duration; write for example 90s, 5m or 24h"));
    }
  };
  return verb.add_option_function<std::string>(name, parse, help)->type_name("DURATION");
}

absl::Status Confirm(Session& session, const OrderFlags& flags, const std::string& consequence,
                     const std::string& name) {
  if (flags.yes) return absl::OkStatus();
  if (!session.terminal().interactive) {
    return UsageError(
        absl::StrCat("refused: ", consequence, "\n  to do: add --yes; nobody is at a terminal to be asked"));
  }
  session.terminal().err << consequence << "\nType the name " << name << " to go on: " << std::flush;
  std::string typed;
  std::getline(session.terminal().in, typed);
  if (typed != name) return absl::CancelledError("the name was not typed; nothing was done");
  return absl::OkStatus();
}

absl::Status ReportOrder(Session& session, const OrderFlags& flags, absl::Time called,
                         const google::protobuf::Message& response, v1::Sensor& sensor, const std::string& policy_id,
                         std::string text) {
  absl::Status confirmed;
  if (flags.wait) {
    const auto sensors = WaitForKernels(
        session, {{sensor.id(), sensor.name(), sensor.desired_generation(), policy_id, policy_id.empty()}},
        flags.timeout);
    confirmed = sensors.status();
    if (sensors.ok()) {
      sensor = sensors->front();
      absl::StrAppendFormat(&text, "in the kernel: %s; confirmed %.1f ms after the call\n",
                            ReceiptLine(sensor.observed().receipt()), absl::ToDoubleMilliseconds(absl::Now() - called));
    }
  } else {
    absl::StrAppend(&text, "not yet confirmed by the kernel: add --wait, or see bulkheadctl sensor get ", sensor.name(),
                    "\n");
  }
  RETURN_IF_ERROR(session.Print(response, text));
  return confirmed;
}

}  // namespace bulkhead::controlplane::cli
