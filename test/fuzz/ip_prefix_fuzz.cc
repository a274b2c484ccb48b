// IpPrefix::Parse on any bytes: what it accepts, it writes and reads back as the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/ip_prefix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<bulkhead::IpPrefix> prefix = bulkhead::IpPrefix::Parse(text);
  if (!prefix.ok()) return 0;
  const absl::StatusOr<bulkhead::IpPrefix> again = bulkhead::IpPrefix::Parse(prefix->ToString());
  if (!again.ok() || !(*again == *prefix) || !prefix->Contains(*again)) std::abort();
  return 0;
}
