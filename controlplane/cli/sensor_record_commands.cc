// bulkheadctl sensor label, disable, enable, revoke and delete: orders that concern the sensor's record and identity.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/label_changes.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

struct Flags : OrderFlags {
  std::string sensor;
};

struct LabelFlags : Flags {
  std::vector<std::string> changes;  // "key=value" or "key-"
};

template <typename Request>
Request RequestFor(const Flags& flags) {
  Request request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  return request;
}

absl::Status Disable(Session& session, const Flags& flags) {
  const auto request = RequestFor<v1::DisableSensorRequest>(flags);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::DisableSensor, request, flags.request_id));
  const std::string& name = response.sensor().name();
  return session.Print(response, absl::StrCat(name, " is disabled\nundo:   bulkheadctl sensor enable ", name, "\n"));
}

absl::Status Enable(Session& session, const Flags& flags) {
  const auto request = RequestFor<v1::EnableSensorRequest>(flags);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::EnableSensor, request, flags.request_id));
  return session.Print(response, absl::StrCat(response.sensor().name(), " is enabled\n"));
}

absl::Status Revoke(Session& session, const Flags& flags) {
  RETURN_IF_ERROR(
      Confirm(session, flags,
              absl::StrCat("revoking ", flags.sensor,
                           " ends its stream and its identity for good. What its kernel "
                           "enforces stays, and no order reaches it until it is enrolled again on the host."),
              flags.sensor));
  const auto request = RequestFor<v1::RevokeSensorRequest>(flags);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::RevokeSensor, request, flags.request_id));
  const std::string& name = response.sensor().name();
  return session.Print(response, absl::StrCat(name, " is revoked\nrestore: bulkheadctl token create --reenroll ", name,
                                              ", then bulkhead-sensor enroll --force on the host\n"));
}

absl::Status ClearClone(Session& session, const Flags& flags) {
  const auto request = RequestFor<v1::ClearCloneSuspicionRequest>(flags);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::ClearCloneSuspicion, request, flags.request_id));
  return session.Print(response, absl::StrCat(response.sensor().name(), " is not suspected any more\n"));
}

absl::Status Delete(Session& session, const Flags& flags) {
  RETURN_IF_ERROR(Confirm(session, flags,
                          absl::StrCat("deleting ", flags.sensor,
                                       " removes its record, policies and history, but the audit log. What "
                                       "its kernel enforces stays; the sensor program goes on running on the host."),
                          flags.sensor));
  const auto request = RequestFor<v1::DeleteSensorRequest>(flags);
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::DeleteSensor, request, flags.request_id));
  return session.Print(response, absl::StrCat(flags.sensor, " is deleted\n"));
}

// Changes some labels and leaves the others: what the sensor has is read first, and its etag keeps a change in between
// from being lost.
absl::Status Label(Session& session, const LabelFlags& flags) {
  v1::GetSensorRequest which;
  which.set_sensor(flags.sensor);
  ASSIGN_OR_RETURN(const v1::GetSensorResponse before, session.Call(&v1::SensorService::Stub::GetSensor, which));
  auto request = RequestFor<v1::SetSensorLabelsRequest>(flags);
  if (flags.etag.empty()) request.set_etag(before.sensor().etag());
  *request.mutable_labels() = before.sensor().labels();
  for (const std::string& change : flags.changes) {
    RETURN_IF_ERROR(ApplyLabel("labels", change, /*may_remove=*/true, *request.mutable_labels()));
  }
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::SensorService::Stub::SetSensorLabels, request, flags.request_id));
  const std::string labels = LabelsWord(response.sensor().labels());
  return session.Print(response, absl::StrCat(response.sensor().name(),
                                              labels.empty() ? " has no labels" : " is labelled ", labels, "\n"));
}

void AddLabelVerb(CLI::App& sensor, Action& action) {
  const auto flags = std::make_shared<LabelFlags>();
  CLI::App* verb = AddVerb(sensor, action, "label", "Set and remove labels, by which selectors choose sensors",
                           "Does not: order anything, nor change a rollout that was started.\n"
                           "Example: bulkheadctl sensor label web-1 env=prod rack=7 canary-",
                           flags, Label);
  verb->add_option("sensor", flags->sensor, "Name or id")->required()->type_name("SENSOR");
  verb->add_option("labels", flags->changes, "KEY=VALUE sets a label, KEY- removes it")->required()->type_name("LABEL");
  AddReasonAndEtagFlags(*verb, *flags);
  AddRequestIdFlag(*verb, *flags);
}

void AddRecordVerb(CLI::App& sensor, Action& action, const std::string& name, const std::string& help,
                   const std::string& more, absl::Status (*run)(Session&, const Flags&), bool asks) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = AddVerb(sensor, action, name, help, more, flags, run);
  verb->add_option("sensor", flags->sensor, "Name or id")->required()->type_name("SENSOR");
  AddReasonAndEtagFlags(*verb, *flags);
  AddRequestIdFlag(*verb, *flags);
  if (asks) AddYesFlag(*verb, *flags);
}

}  // namespace

void AddSensorRecordVerbs(CLI::App& sensor, Action& action) {
  AddLabelVerb(sensor, action);
  AddRecordVerb(sensor, action, "disable", "Leave the sensor out of fleet health; it works on",
                "Does not: stop the sensor, lift or change enforcement.\nUndo: bulkheadctl sensor enable SENSOR\n"
                "Example: bulkheadctl sensor disable web-1 --reason \"being replaced\"",
                Disable, false);
  AddRecordVerb(sensor, action, "enable", "Count the sensor in fleet health again",
                "Undo: bulkheadctl sensor disable SENSOR\nExample: bulkheadctl sensor enable web-1", Enable, false);
  AddRecordVerb(
      sensor, action, "revoke", "Take the sensor's identity away: its stream ends at once",
      "Does not: lift enforcement; a contained host stays contained, and can no longer be released from here.\n"
      "Undo: not by itself. bulkheadctl token create --reenroll SENSOR, then bulkhead-sensor enroll --force on the "
      "host.\n"
      "Example: bulkheadctl sensor revoke web-1 --yes --reason \"key was read\"",
      Revoke, true);
  AddRecordVerb(sensor, action, "clear-clone", "Take back the suspicion that two hosts share the sensor's identity",
                "Look first: audit list --sensor SENSOR, and the hosts. If there are two, revoke the sensor and enroll "
                "both.\nDoes not: prevent the suspicion from being raised again.\n"
                "Example: bulkheadctl sensor clear-clone web-1 --reason \"set back to a snapshot\"",
                ClearClone, false);
  AddRecordVerb(sensor, action, "delete", "Delete the sensor's record and all that belongs to it but the audit log",
                "Does not: stop the sensor program, nor lift what its kernel enforces: release it first.\nUndo: none.\n"
                "Example: bulkheadctl sensor delete web-1 --yes --reason \"host is gone\"",
                Delete, true);
}

}  // namespace bulkhead::controlplane::cli
