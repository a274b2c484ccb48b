// What every handler works with.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/order_keys.h"
#include "controlplane/pki/pki.h"
#include "controlplane/rpc/method_table.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// None is owned; all outlive the method table.
struct ApiContext {
  Store* store = nullptr;
  CertificateAuthority* authority = nullptr;
  const Clock* clock = nullptr;
  WorkerPool* workers = nullptr;
  absl::Duration heartbeat_interval = absl::Seconds(30);   // for health
  absl::Duration certificate_life = absl::Hours(24 * 30);  // of the certificates that Enroll issues
  // Orders that these want signed are refused without; null: only the sensors know.
  const OrderKeys* order_keys = nullptr;
};

// OK when orders of this kind need no signature here; SignatureRequired.
absl::Status CheckMayBeUnsigned(const ApiContext& api, OrderKind kind);

// Adds every RPC that operators and enrolling sensors call, but for the watches, which are WatchHub's.
void AddApiMethods(const ApiContext& api, MethodTable& table);

// One resource each; AddApiMethods calls them all.
void AddSensorReadMethods(const ApiContext& api, MethodTable& table);
void AddSensorOrderMethods(const ApiContext& api, MethodTable& table);
void AddTamperGuardMethods(const ApiContext& api, MethodTable& table);
void AddSensorAdminMethods(const ApiContext& api, MethodTable& table);
void AddPolicyMethods(const ApiContext& api, MethodTable& table);
void AddIsolationRuleMethods(const ApiContext& api, MethodTable& table);
void AddEnrollmentMethods(const ApiContext& api, MethodTable& table);
void AddAccessMethods(const ApiContext& api, MethodTable& table);
void AddCertificateMethods(const ApiContext& api, MethodTable& table);
void AddAuditMethods(const ApiContext& api, MethodTable& table);
void AddRolloutMethods(const ApiContext& api, MethodTable& table);
void AddEventMethods(const ApiContext& api, MethodTable& table);
void AddOrderApprovalMethods(const ApiContext& api, MethodTable& table);

// The id of a sensor that a reader named by id or name; empty stays empty. What outlives a sensor is found by an id
// that no sensor has any more; a name needs a sensor to become an id. The field to blame is "sensor". Blocks.
absl::StatusOr<std::string> SensorIdOf(const ApiContext& api, const std::string& sensor);

}  // namespace bulkhead::controlplane
