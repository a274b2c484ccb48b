// What the store tells of its own work, for whoever counts it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bulkhead::controlplane {

// Called from any thread, in the middle of the work: must not block and not call the store.
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;

  // One statement, failed or not; `operation` is constant text such as "store a report".
  virtual void OnStatement(absl::string_view operation, absl::Duration time) = 0;
  // One attempt at a transaction did not come to its commit because of the database; it may be repeated.
  virtual void OnFailure(absl::StatusCode code) = 0;
  // A record of the audit log was committed: an order was accepted, once.
  virtual void OnAudited(const std::string& action, const std::string& outcome) = 0;
  // Another replica's change, or our own, was told of.
  virtual void OnNotification() = 0;
};

}  // namespace bulkhead::controlplane
