// What all orders share: their flags, and the report of what came of them.
#pragma once

#include <string>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

// Flags of an order.
struct OrderFlags {
  std::string reason;
  std::string request_id;  // generated when not given
  std::string etag;
  bool wait = false;
  absl::Duration timeout = absl::Seconds(30);
  bool yes = false;

  // Copies reason, request_id and etag into a request that has all three.
  template <typename Request>
  void Fill(Request& request) const {
    request.set_reason(reason);
    request.set_request_id(request_id);
    request.set_etag(etag);
  }
};

// The three kinds of flags, each added where the order has them.
void AddRequestIdFlag(CLI::App& verb, OrderFlags& flags);
void AddReasonAndEtagFlags(CLI::App& verb, OrderFlags& flags);
void AddWaitFlags(CLI::App& verb, OrderFlags& flags, const std::string& waits_for);
// For what cannot be undone; see Confirm().
void AddYesFlag(CLI::App& verb, OrderFlags& flags);

// An option that takes a duration such as "90s", "5m" or "24h".
CLI::Option* AddDuration(CLI::App& verb, const std::string& name, absl::Duration& value, const std::string& help);

// Asks a person to type `name` before something that cannot be undone. OK at once with --yes; a usage error that says
// what to do when nobody is there to be asked.
absl::Status Confirm(Session& session, const OrderFlags& flags, const std::string& consequence,
                     const std::string& name);

// Ends an order on one sensor: waits if asked, then prints. `sensor` is the one inside `response`; after waiting it is
// brought up to date, so that JSON shows the confirmed state. `policy_id`: what was ordered, empty when that is no
// policy. `text` says what was ordered and how to undo it. The
// response is printed also when the wait fails: its ids are needed then.
absl::Status ReportOrder(Session& session, const OrderFlags& flags, absl::Time called,
                         const google::protobuf::Message& response, v1::Sensor& sensor, const std::string& policy_id,
                         std::string text);

}  // namespace bulkhead::controlplane::cli
