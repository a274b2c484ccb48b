// Which identity the next connection uses, and when it is renewed.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "sensor/store/identity_store.h"

namespace bulkhead::sensor {

// The certificate is renewed at half of its life, give or take a tenth, so that a fleet that was enrolled in one hour
// does not renew in one. The renewed identity is tried on the next connection; the old one is kept until it worked. Not
// thread safe.
class Renewer {
 public:
  // How long to wait for an answer before asking again.
  static constexpr absl::Duration kRetryAfter = absl::Minutes(1);

  // `uniform` returns a number in [0, 1).
  Renewer(const IdentityStore* store, Identity current, std::function<double()> uniform);

  // Reads the identity again (the host may have been enrolled anew) and chooses what to show. While a renewed identity
  // is unproven and attempts fail without a reason, new and old take turns.
  Credentials ForNextConnection();

  // True when somebody has enrolled this host again since the identity was read.
  bool EnrolledAnew() const { return store_->CurrentName() != current_name_; }

  // The connection was accepted.
  void Accepted();

  // The attempt failed before it was accepted. `reason` is the control plane's word for it; empty when it gave none.
  void Refused(const std::string& reason);

  // The control plane wants the certificate renewed before its time: ask as soon as asking again is due.
  void RenewSoon() { renew_at_ = absl::InfinitePast(); }

  // The request to send now, if it is time to renew; call while connected.
  std::optional<std::string> RequestIfDue(absl::Time now);

  // Checks and stores a renewed certificate. Not OK: it is not used, and is asked for again later.
  absl::Status Issued(const std::string& chain_pem, const std::string& trust_bundle_pem);

  // The stream is gone: an unanswered request is void.
  void ConnectionLost() { pending_key_pem_.reset(); }

  // True while a renewed identity has not been accepted yet.
  bool HasNext() const { return next_.has_value(); }
  // Serial number of the newest certificate that is on disk with its key and trust bundle.
  const std::string& stored_serial() const { return Newest().facts.serial_hex; }

  const std::string& sensor_id() const { return current_.facts.sensor_id; }
  // When the newest certificate ends.
  absl::Time not_after() const { return Newest().facts.not_after; }

 private:
  const Identity& Newest() const { return next_.has_value() ? *next_ : current_; }
  void Schedule();

  const IdentityStore* const store_;
  const std::function<double()> uniform_;
  Identity current_;
  std::string current_name_;  // IdentityStore::CurrentName() when current_ was read
  std::optional<Identity> next_;
  bool showing_next_ = false;
  bool next_failed_last_time_ = false;
  bool current_is_over_ = false;  // the control plane has seen the next one already
  absl::Time renew_at_;
  absl::Time asked_at_ = absl::InfinitePast();
  std::optional<std::string> pending_key_pem_;
};

}  // namespace bulkhead::sensor
