// The listener's own certificate: issued at start, renewed at half of its life, published so that gRPC picks it up
// without a restart.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "controlplane/pki/pki.h"

namespace bulkhead::controlplane {

// Not thread safe.
class ServerCertificate {
 public:
  // Issues the first certificate, or, when that fails, keeps one that an earlier run left and that is good. `directory`
  // is made if need be. `authority` and `clock` outlive this.
  static absl::StatusOr<std::unique_ptr<ServerCertificate>> Create(CertificateAuthority* authority, const Clock* clock,
                                                                   std::string directory,
                                                                   std::vector<std::string> names);

  // Where the key and the certificate always are: a link in the path is swapped, so that both change together.
  std::string key_path() const;
  std::string certificate_path() const;

  // Of the certificate that is published now.
  absl::Time not_after() const { return not_after_; }

  // Renews when half of the life is over, when another root issues to servers, or when what is on disk is damaged; true
  // when it did. On an error the pair before stays; call again.
  absl::StatusOr<bool> RenewIfDue();

 private:
  ServerCertificate(CertificateAuthority* authority, const Clock* clock, std::string directory,
                    std::vector<std::string> names);
  absl::Status Publish();
  // Writes the pair into the directory `name`, checks what was written, and points the link there.
  absl::Status WritePair(const KeyAndCertificate& pair, const std::string& name) const;
  // The pair that the link points to, or the one in this directory: there, whole, together, within its time.
  absl::Status CheckPublished() const;
  absl::Status CheckPair(const std::string& pair) const;

  CertificateAuthority* const authority_;
  const Clock* const clock_;
  const std::string directory_;
  const std::vector<std::string> names_;
  absl::Time not_after_;
  absl::Time renew_at_ = absl::InfinitePast();
  std::string issuer_hex_;
  std::string published_;  // directory that `current` points to
};

}  // namespace bulkhead::controlplane
