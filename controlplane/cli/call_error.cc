// A failed call as an operator should read it: what was wrong, which field, what to do.
#include "controlplane/cli/call_error.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "controlplane/cli/table.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bulkhead::controlplane::cli {
namespace {

struct Details {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::RetryInfo retry;
};

Details Decode(const grpc::Status& status) {
  Details details;
  google::rpc::Status packed;
  if (!packed.ParseFromString(status.error_details())) return details;
  for (const google::protobuf::Any& any : packed.details()) {
    any.UnpackTo(&details.info) || any.UnpackTo(&details.bad_request) || any.UnpackTo(&details.retry);
  }
  return details;
}

// Advice that depends on why exactly a call was refused; empty: only the code is known.
std::string AdviceForReason(const std::string& reason) {
  static const std::map<std::string, std::string> kAdvice = {
      {"CERTIFICATE_REQUIRED", "give an operator's certificate with --cert and --key"},
      {"CERTIFICATE_INVALID",
       "use a certificate that this control plane issued (bulkhead-controlplane issue-operator)"},
      {"CERTIFICATE_EXPIRED", "have a new certificate issued (bulkhead-controlplane issue-operator)"},
      {"OPERATOR_UNKNOWN", "have this operator's certificate issued again (bulkhead-controlplane issue-operator)"},
      {"OPERATOR_DISABLED", "ask an admin to enable this operator"},
      {"SENSOR_REVOKED",
       "re-enroll the sensor: bulkheadctl token create --reenroll SENSOR, then bulkhead-sensor enroll on the host"},
      {"SENSOR_CRITICAL", "see what is wrong with it: bulkheadctl sensor get SENSOR"},
      {"MECHANISM_MISSING",
       "see what the host can enforce: bulkheadctl sensor get SENSOR; --allow-degraded accepts a missing layer "
       "where the host has one at all"},
      {"SIGNATURE_REQUIRED", "sign it: --sign-key FILE (bulkheadctl key generate makes one)"},
      {"SAME_OPERATOR", "have another operator approve it: bulkheadctl proposal approve PROPOSAL --sign-key FILE"},
      {"ORDER_EXPIRED", "give the order again, and sign it again; --valid makes it last longer"},
      {"DANGEROUS_BINARY", "blocking it would break the host; --force does it all the same"},
  };
  const auto found = kAdvice.find(reason);
  return found == kAdvice.end() ? "" : found->second;
}

std::string AdviceForCode(grpc::StatusCode code, const CallContext& context) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return absl::StrCat("check that the control plane runs at ", context.server,
                          ", that --ca is its CA, and repeat the command");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::StrCat("the control plane at ", context.server, " did not answer in time; repeat the command");
    case grpc::StatusCode::UNAUTHENTICATED:
      return "use the certificate of an operator that this control plane knows (--cert, --key)";
    case grpc::StatusCode::PERMISSION_DENIED:
      return "use an operator with a higher role, or ask one";
    case grpc::StatusCode::NOT_FOUND:
      return "see which there are with the list command, or complete the name with TAB";
    case grpc::StatusCode::ABORTED:
      return "it has changed since you looked: look again, then repeat the command with the new --etag or without it";
    case grpc::StatusCode::INVALID_ARGUMENT:
      return "correct the value and repeat the command";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "wait, or make room, and repeat the command";
    default:
      return "";
  }
}

}  // namespace

absl::Status DescribeCallError(const grpc::Status& status, const CallContext& context) {
  const Details details = Decode(status);
  std::string text = Printable(status.error_message());
  if (!details.info.reason().empty()) absl::StrAppend(&text, " (", Printable(details.info.reason()), ")");
  for (const auto& violation : details.bad_request.field_violations()) {
    absl::StrAppend(&text, "\n  field: ", Printable(violation.field()));
    // With one wrong field its description is the message, which was printed already.
    if (violation.description() != status.error_message()) {
      absl::StrAppend(&text, ": ", Printable(violation.description()));
    }
  }
  std::string advice = AdviceForReason(details.info.reason());
  if (advice.empty()) advice = AdviceForCode(status.error_code(), context);
  if (!advice.empty()) absl::StrAppend(&text, "\n  to do: ", advice);
  if (details.retry.retry_delay().seconds() > 0) {
    absl::StrAppend(&text, "\n  wait:  ", details.retry.retry_delay().seconds(), " s before the next attempt");
  }
  if (!context.request_id.empty()) {
    absl::StrAppend(&text, "\n  request id: ", context.request_id, " (the same command with --request-id ",
                    context.request_id, " is applied at most once)");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), text);
}

}  // namespace bulkhead::controlplane::cli
