// The control plane's addresses on disk.
#include "sensor/store/address_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {

std::string EncodeAddresses(const std::vector<ResolvedHost>& hosts) {
  std::string out;
  for (const ResolvedHost& host : hosts) {
    absl::StrAppend(&out, ToString(host.name));
    for (const ControlPlaneEndpoint& endpoint : host.endpoints) absl::StrAppend(&out, " ", endpoint.address.ToString());
    absl::StrAppend(&out, "\n");
  }
  return out;
}

absl::StatusOr<std::vector<ResolvedHost>> DecodeAddresses(absl::string_view text) {
  std::vector<ResolvedHost> out;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    const absl::StatusOr<HostPort> name = ParseHostPort(fields[0]);
    if (!name.ok()) return absl::DataLossError(absl::StrCat("line ", out.size() + 1, ": ", name.status().message()));
    ResolvedHost host{*name};
    for (size_t i = 1; i < fields.size(); ++i) {
      const absl::StatusOr<IpPrefix> address = IpPrefix::Parse(fields[i]);
      if (!address.ok() || address->mapped_length() != 128) {
        return absl::DataLossError(absl::StrCat("line ", out.size() + 1, ": \"", fields[i], "\" is not an address"));
      }
      host.endpoints.push_back({*address, name->port});
    }
    out.push_back(std::move(host));
  }
  return out;
}

AddressStore::AddressStore(const std::string& state_dir)
    : file_(absl::StrCat(state_dir, "/control-plane-addresses"), "control-plane-addresses", 1) {}

absl::StatusOr<std::vector<ResolvedHost>> AddressStore::Load() const {
  const absl::StatusOr<std::string> text = file_.Read();
  if (absl::IsNotFound(text.status())) return std::vector<ResolvedHost>();
  RETURN_IF_ERROR(text.status());
  return DecodeAddresses(*text);
}

absl::Status AddressStore::Save(const std::vector<ResolvedHost>& hosts) const {
  return file_.Write(EncodeAddresses(hosts));
}

}  // namespace bulkhead::sensor
