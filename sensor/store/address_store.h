// The control plane's addresses on disk: a host that boots behind its own wall has no DNS to ask.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sensor/domain/host_port.h"
#include "sensor/store/state_file.h"

namespace bulkhead::sensor {

// One file, `control-plane-addresses`. Not thread safe.
class AddressStore {
 public:
  explicit AddressStore(const std::string& state_dir);

  // Empty when there is no file. DataLoss: the file was damaged and is kept aside.
  absl::StatusOr<std::vector<ResolvedHost>> Load() const;

  absl::Status Save(const std::vector<ResolvedHost>& hosts) const;

 private:
  StateFile file_;
};

// One line for each name: "<host:port> <address>…".
std::string EncodeAddresses(const std::vector<ResolvedHost>& hosts);

// DataLoss names the first line that is not one of those.
absl::StatusOr<std::vector<ResolvedHost>> DecodeAddresses(absl::string_view text);

}  // namespace bulkhead::sensor
