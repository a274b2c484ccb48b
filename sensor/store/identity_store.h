// The sensor's identity on disk: key, certificate chain and trust bundle, always a matching set.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/store/x509.h"

namespace bulkhead::sensor {

// A checked identity.
struct Identity {
  Credentials credentials;
  CertificateFacts facts;
};

// Each identity is a directory (key.pem 0600, chain.pem, ca.pem) that is written completely, checked, and then
// published by one symbolic link, so that a crash never leaves a key with another's certificate:
//   identity       -> the one in use
//   identity.next  -> a renewed one that has not yet been accepted by the control plane
// Not thread safe.
class IdentityStore {
 public:
  explicit IdentityStore(std::string state_dir);

  // The identity in use. NotFound: the sensor is not enrolled. InvalidArgument: the files do not belong together.
  absl::StatusOr<Identity> Load() const;

  // Which identity is in use: changes with every Replace and PromoteNext. Empty: none.
  std::string CurrentName() const;

  // The renewed identity, if there is one that is whole; a broken one is removed.
  std::optional<Identity> LoadNext() const;

  // Enrollment: checks and publishes as the identity in use, and forgets all others. InvalidArgument: key, certificate
  // and bundle do not belong together; nothing was changed.
  absl::Status Replace(const Credentials& credentials) const;

  // Renewal: checks and publishes as the next identity; the one in use stays. InvalidArgument also when it names
  // another sensor.
  absl::Status StoreNext(const Credentials& credentials) const;

  // The next identity worked: it becomes the one in use, and the old one is removed.
  absl::Status PromoteNext() const;

  // The next identity was refused: forgets it.
  absl::Status DropNext() const;

 private:
  absl::StatusOr<Identity> LoadFrom(const std::string& link) const;
  // Writes a directory and points `link` to it.
  absl::Status Publish(const Credentials& credentials, const std::string& link) const;
  // Points `link` to `directory` (a name in the state directory) by one rename.
  absl::Status Point(const std::string& link, const std::string& directory) const;
  // Removes identity directories that no link points to.
  void RemoveUnused() const;

  std::string state_dir_;
};

}  // namespace bulkhead::sensor
