// Which identity the next connection uses, and when it is renewed.
#include "sensor/app/renewer.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {

Renewer::Renewer(const IdentityStore* store, Identity current, std::function<double()> uniform)
    : store_(store),
      uniform_(std::move(uniform)),
      current_(std::move(current)),
      current_name_(store->CurrentName()),
      next_(store->LoadNext()) {
  Schedule();
}

Credentials Renewer::ForNextConnection() {
  const std::string name = store_->CurrentName();
  absl::StatusOr<Identity> stored = store_->Load();
  if (!stored.ok()) {
    LogError("identity cannot be read; the one in memory is used", {{"error", stored.status().message()}});
  } else if (stored->credentials.chain_pem != current_.credentials.chain_pem) {
    current_ = *std::move(stored);
    next_ = store_->LoadNext();
    current_is_over_ = false;
    Schedule();
  }
  // Also when it could not be read: once is enough to try an identity that does not work.
  current_name_ = name;
  showing_next_ = next_.has_value() && (current_is_over_ || !next_failed_last_time_);
  next_failed_last_time_ = false;
  return showing_next_ ? next_->credentials : current_.credentials;
}

void Renewer::Accepted() {
  if (!showing_next_ || !next_.has_value()) return;
  showing_next_ = false;
  current_is_over_ = false;
  current_ = *std::exchange(next_, std::nullopt);
  if (const absl::Status status = store_->PromoteNext(); !status.ok()) {
    LogError("renewed identity was not made current on disk", {{"error", status.message()}});
  }
  current_name_ = store_->CurrentName();
  LogInfo("renewed identity is in use", {{"not_after", absl::FormatTime(current_.facts.not_after)}});
}

void Renewer::Refused(const std::string& reason) {
  if (!showing_next_) {
    // The next one was used, and the connection was lost before this sensor knew.
    current_is_over_ = next_.has_value() && reason == "CERTIFICATE_SUPERSEDED";
    return;
  }
  showing_next_ = false;
  next_failed_last_time_ = true;
  // SENSOR_: it was renewed before the host was enrolled again.
  if (!absl::StartsWith(reason, "CERTIFICATE_") && !absl::StartsWith(reason, "SENSOR_")) return;
  LogWarning("renewed identity was refused; the old one is used", {{"reason", reason}});
  store_->DropNext().IgnoreError();
  next_.reset();
  Schedule();
}

std::optional<std::string> Renewer::RequestIfDue(absl::Time now) {
  if (now < renew_at_ || now < asked_at_ + kRetryAfter) return std::nullopt;
  asked_at_ = now;
  absl::StatusOr<KeyAndRequest> made = MakeKeyAndRequest();
  if (!made.ok()) {
    LogError("certificate request could not be made", {{"error", made.status().message()}});
    return std::nullopt;
  }
  pending_key_pem_ = std::move(made->key_pem);
  return std::move(made->csr_der);
}

absl::Status Renewer::Issued(const std::string& chain_pem, const std::string& trust_bundle_pem) {
  if (!pending_key_pem_.has_value()) {
    return absl::FailedPreconditionError("a certificate came that was not asked for; it was ignored");
  }
  RETURN_IF_ERROR(store_->StoreNext({*std::exchange(pending_key_pem_, std::nullopt), chain_pem, trust_bundle_pem}));
  next_ = store_->LoadNext();
  next_failed_last_time_ = false;
  Schedule();
  return absl::OkStatus();
}

void Renewer::Schedule() {
  const CertificateFacts& facts = Newest().facts;
  renew_at_ = facts.not_before + (facts.not_after - facts.not_before) * (0.45 + 0.1 * uniform_());
}

}  // namespace bulkhead::sensor
