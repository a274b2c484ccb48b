// AuditService: list the records, check the chain.
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/audit.pb.h"
#include "common/uuid.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"

namespace bulkhead::controlplane {
namespace {

// Records outlive their sensor, so an id needs no row; a name needs one to become an id.
absl::StatusOr<std::string> TargetOf(const ApiContext& api, const std::string& sensor) {
  if (sensor.empty()) return std::string();
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  std::string id = sensor;
  if (!IsUuid(sensor)) {
    RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const Sensor found, tx.GetSensor(sensor, /*lock=*/false));
      id = found.id;
      return absl::OkStatus();
    }));
  }
  return absl::StrCat("sensor/", id);
}

absl::StatusOr<v1::ListAuditRecordsResponse> List(const ApiContext& api, const v1::ListAuditRecordsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string target, TargetOf(api, request.sensor()));
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

}  // namespace

void AddAuditMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListAuditRecordsRequest, v1::ListAuditRecordsResponse>(
      api, table, "/bulkhead.v1.AuditService/ListAuditRecords", List);
  AddRead<v1::VerifyAuditLogRequest, v1::VerifyAuditLogResponse>(api, table, "/bulkhead.v1.AuditService/VerifyAuditLog",
                                                                 Verify);
}

}  // namespace bulkhead::controlplane
