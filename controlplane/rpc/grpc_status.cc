// Packs google.rpc details into the status trailer.
#include "controlplane/rpc/grpc_status.h"

#include <string>

#include "controlplane/domain/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kRetryAfterSeconds = 1;

bool IsOurFault(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown ||
         status.code() == absl::StatusCode::kDataLoss;
}

// gRPC refuses trailers of more than 8 KiB, so text that a caller sent back to itself is cut.
std::string Shortened(std::string text) {
  constexpr size_t kLimit = 1024;
  if (text.size() <= kLimit) return text;
  size_t end = kLimit;
  while ((text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message = IsOurFault(status) ? "internal error; the control plane's log has the details"
                                                 : Shortened(std::string(status.message()));

  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);

  const std::string reason = ReasonOf(status);
  google::rpc::ErrorInfo info;
  info.set_reason(reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
  info.set_domain("bulkhead");
  details.add_details()->PackFrom(info);

  if (const std::string field = FieldOf(status); !field.empty()) {
    google::rpc::BadRequest bad;
    auto& violation = *bad.add_field_violations();
    violation.set_field(Shortened(field));
    violation.set_description(message);
    details.add_details()->PackFrom(bad);
  }
  if (absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(kRetryAfterSeconds);
    details.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString());
}

grpc::Status WithRequestId(const grpc::Status& status, const std::string& request_id) {
  if (status.ok()) return status;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return status;
  // A status that gRPC's rules ended a call with (a slow reader, a peer that left) has no details yet.
  details.set_code(status.error_code());
  details.set_message(status.error_message());
  google::rpc::RequestInfo info;
  info.set_request_id(request_id);
  details.add_details()->PackFrom(info);
  return grpc::Status(status.error_code(), status.error_message(), details.SerializeAsString());
}

std::string CodeName(grpc::StatusCode code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

std::string RefusalReason(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  if (!status.ok() && details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      if (detail.UnpackTo(&info)) return info.reason();
    }
  }
  return CodeName(status.error_code());
}

}  // namespace bulkhead::controlplane
