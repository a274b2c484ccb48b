// What the control plane says in the end, asked through its API: one half of the evidence.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <memory>

#include "bulkhead/v1/audit.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "e2e/faults/checker.h"
#include "e2e/fleet/cluster.h"

namespace bulkhead::e2e {

class Witness {
 public:
  // Asks the first replica about sensors and another about the audit log.
  explicit Witness(const Cluster& cluster)
      : sensors_(v1::SensorService::NewStub(cluster.OperatorChannel(0))),
        audit_(v1::AuditService::NewStub(cluster.OperatorChannel(cluster.size() - 1))) {}

  // True once every sensor is connected and synced and every command has an end; the evidence is complete either way.
  // Reads the orders that are in it.
  bool Settle(Evidence* evidence, std::chrono::seconds within);

 private:
  bool Look(Evidence* evidence);
  void ReadAudit(Evidence* evidence);

  std::unique_ptr<v1::SensorService::Stub> sensors_;
  std::unique_ptr<v1::AuditService::Stub> audit_;
};

}  // namespace bulkhead::e2e
