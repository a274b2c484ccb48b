// What the control plane says in the end, asked through its API: one half of the evidence.
#include "e2e/faults/witness.h"

#include <grpcpp/client_context.h>

#include <iostream>
#include <string>
#include <thread>

namespace bulkhead::e2e {
namespace {

constexpr int kPage = 500;
constexpr int kReads = 5;

template <typename Stub, typename Request, typename Response>
bool Ask(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
         const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  response->Clear();
  const grpc::Status status = (stub.*method)(&context, request, response);
  static std::string last_error;
  if (!status.ok() && status.error_message() != last_error)
    std::cout << "asking the control plane: " << (last_error = status.error_message()) << "\n";
  return status.ok();
}

}  // namespace

bool Witness::Settle(Evidence* evidence, std::chrono::seconds within) {
  const auto limit = Clock::now() + within;
  while (!Look(evidence) && Clock::now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ReadAudit(evidence);
  return Clock::now() < limit;
}

bool Witness::Look(Evidence* evidence) {
  bool settled = true;
  v1::ListSensorsRequest list;
  list.set_page_size(kPage);
  v1::ListSensorsResponse page;
  do {
    if (!Ask(*sensors_, &v1::SensorService::Stub::ListSensors, list, &page)) return false;
    for (const v1::Sensor& sensor : page.sensors()) {
      const bool synced = sensor.convergence() == v1::CONVERGENCE_STATE_SYNCED;
      settled = settled && synced && sensor.connected();
      evidence->sensors[sensor.id()] = {.generation = sensor.desired_generation(),
                                        .digest = sensor.desired_digest(),
                                        .connected = sensor.connected(),
                                        .synced = synced};
    }
    list.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty());
  for (const GivenOrder& order : evidence->orders) {
    FinalCommand& end = evidence->commands[order.command_id];
    if (order.command_id.empty() || end != FinalCommand::kOpen) continue;
    v1::GetCommandRequest get;
    get.set_id(order.command_id);
    v1::GetCommandResponse got;
    if (!Ask(*sensors_, &v1::SensorService::Stub::GetCommand, get, &got)) return false;
    const v1::CommandState state = got.command().state();
    end = state == v1::COMMAND_STATE_SUCCEEDED ? FinalCommand::kSucceeded
          : state == v1::COMMAND_STATE_FAILED  ? FinalCommand::kFailed
          : state == v1::COMMAND_STATE_EXPIRED ? FinalCommand::kExpired
                                               : FinalCommand::kOpen;
    settled = settled && end != FinalCommand::kOpen;
  }
  return settled;
}

void Witness::ReadAudit(Evidence* evidence) {
  v1::ListAuditRecordsRequest list;
  list.set_page_size(kPage);
  v1::ListAuditRecordsResponse page;
  do {
    bool read = false;
    for (int i = 0; i < kReads && !read; ++i)
      read = Ask(*audit_, &v1::AuditService::Stub::ListAuditRecords, list, &page);
    if (!read) return evidence->complaints.push_back("the audit log could not be read");
    for (const v1::AuditRecord& record : page.records()) {
      // Enrollment is not under test here.
      if (record.target().rfind("sensor/", 0) != 0 || record.action() == "sensor_enrolled") continue;
      evidence->audit.push_back({record.action(), record.target(), record.request_id(), record.outcome()});
    }
    list.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty());
  v1::VerifyAuditLogResponse verified;
  if (!Ask(*audit_, &v1::AuditService::Stub::VerifyAuditLog, v1::VerifyAuditLogRequest(), &verified) ||
      !verified.intact()) {
    evidence->complaints.push_back("the audit chain is broken: " + verified.problem());
  }
}

}  // namespace bulkhead::e2e
