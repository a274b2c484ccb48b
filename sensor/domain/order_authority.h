// Did operators sign this? Asked on the host, with keys that the control plane does not have.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/order_keys.h"
#include "sensor/domain/command.h"
#include "sensor/domain/desired_state.h"
#include "sensor/domain/signed_order.h"

namespace bulkhead::sensor {

// How far a signer's clock may be ahead of this host's.
inline constexpr absl::Duration kOrderClockTolerance = absl::Minutes(5);
// The longest that a statement may be good for.
inline constexpr absl::Duration kLongestStatement = absl::Hours(24 * 30);

// Where a policy stands: at most one of a host has each place. Text, the same for every policy of one slot.
std::string SlotOf(const Policy& policy);

// True for a policy that was refused because signatures are missing; asked again with each state.
bool IsUnauthorized(const Policy& policy);

// A desired state after the signatures were checked.
struct Authorized {
  // Policies that are not covered are refused; what may not be lifted is kept. order_marks is brought up to date.
  DesiredState state;
  // A signed order lifts something: not before the marks are on disk, or the order that it lifts could come again.
  bool lifts = false;
};

// Pure but for its keys. Not thread safe: used by the loop thread only.
class OrderAuthority {
 public:
  explicit OrderAuthority(OrderKeys keys) : keys_(std::move(keys)) {}

  // `before` is what this host enforces. What it has of `incoming` already, word for word, needs no signature again.
  Authorized Authorize(const DesiredState& incoming, const DesiredState& before, absl::Time now) const;

  // OK: it may be carried out, as the statement says, by its times; `command` is brought in line with it, and its
  // statement_digest must not have been used. PermissionDenied says what is missing.
  absl::Status AuthorizeCommand(Command* command, const std::string& own_sensor_id, absl::Time now) const;

  bool trusts_isolation_rules() const { return keys_.trust_isolation_rules(); }

 private:
  struct Context {
    const DesiredState* incoming;
    const DesiredState* before;
    absl::Time now;
    std::set<std::string> lifted;                // slots
    std::map<std::string, std::string> refused;  // slot: why its release does not count
  };

  void TakeReleases(Context* context, Authorized* out) const;
  void TakePolicy(const Policy& policy, const Context& context, Authorized* out) const;
  void KeepOthers(const Context& context, Authorized* out) const;
  void TakeRules(const Context& context, Authorized* out) const;
  absl::Status CheckOrder(const SignedOrder* order, const std::string& sensor_id, uint32_t required,
                          absl::Time now) const;
  absl::Status CheckPolicy(const Policy& policy, uint32_t required, const Context& context,
                           const DesiredState& state) const;
  std::string MissingSignatures(const SignedOrder& order, uint32_t required) const;

  OrderKeys keys_;
};

}  // namespace bulkhead::sensor
