// AuditService: list the records, check the chain, hand it out.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/audit.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/domain/errors.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::ListAuditRecordsResponse> List(const ApiContext& api, const v1::ListAuditRecordsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string id, SensorIdOf(api, request.sensor()));
  const std::string target = id.empty() ? "" : absl::StrCat("sensor/", id);
  ASSIGN_OR_RETURN(const Page<AuditRecord> page, api.store->ListAudit(target, page_size, request.page_token()));
  v1::ListAuditRecordsResponse response;
  for (const AuditRecord& record : page.items) *response.add_records() = ToProto(record);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::VerifyAuditLogResponse> Verify(const ApiContext& api, const v1::VerifyAuditLogRequest&) {
  ASSIGN_OR_RETURN(const Store::AuditCheck check, api.store->VerifyAudit());
  v1::VerifyAuditLogResponse response;
  response.set_intact(check.first_bad == 0);
  response.set_records_checked(check.records);
  response.set_first_bad_sequence(check.first_bad);
  response.set_problem(check.problem);
  return response;
}

absl::StatusOr<v1::ExportAuditRecordsResponse> Export(const ApiContext& api,
                                                      const v1::ExportAuditRecordsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  if (request.to_sequence() != 0 && request.to_sequence() < request.from_sequence()) {
    return InvalidField("to_sequence", "must be 0 or not less than from_sequence");
  }
  std::optional<absl::Time> since;
  if (request.has_since()) since = FromProto(request.since());
  ASSIGN_OR_RETURN(const Store::AuditSpan span,
                   api.store->ExportAudit(request.from_sequence(), request.to_sequence(), since, page_size));
  v1::ExportAuditRecordsResponse response;
  std::string previous = span.previous_hash;
  for (const AuditRecord& record : span.records) {
    v1::AuditRecord& out = *response.add_records();
    out = ToProto(record);
    out.set_previous_hash(std::exchange(previous, record.hash));
  }
  response.set_next_sequence(span.next);
  return response;
}

absl::StatusOr<v1::GetAuditHeadResponse> Head(const ApiContext& api, const v1::GetAuditHeadRequest&) {
  ASSIGN_OR_RETURN(const Store::AuditHead head, api.store->GetAuditHead());
  v1::GetAuditHeadResponse response;
  response.set_sequence(head.sequence);
  response.set_hash(head.hash);
  return response;
}

}  // namespace

void AddAuditMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListAuditRecordsRequest, v1::ListAuditRecordsResponse>(
      api, table, "/bulkhead.v1.AuditService/ListAuditRecords", List);
  AddRead<v1::VerifyAuditLogRequest, v1::VerifyAuditLogResponse>(api, table, "/bulkhead.v1.AuditService/VerifyAuditLog",
                                                                 Verify);
  AddRead<v1::ExportAuditRecordsRequest, v1::ExportAuditRecordsResponse>(
      api, table, "/bulkhead.v1.AuditService/ExportAuditRecords", Export);
  AddRead<v1::GetAuditHeadRequest, v1::GetAuditHeadResponse>(api, table, "/bulkhead.v1.AuditService/GetAuditHead",
                                                             Head);
}

}  // namespace bulkhead::controlplane
