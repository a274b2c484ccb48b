// Everything that the sensor reads from others: messages of the control plane, stored state, local policy files.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "bulkhead/v1/sensor_link.pb.h"
#include "sensor/link/convert_in.h"
#include "sensor/link/state_codec.h"

namespace {

// What was accepted is written and read back as the same state.
void CheckRoundTrip(const std::string& bytes) {
  const auto state = bulkhead::sensor::DecodeDesiredState(bytes, absl::UnixEpoch());
  if (!state.ok()) return;
  const auto again = bulkhead::sensor::DecodeDesiredState(
      bulkhead::sensor::EncodeDesiredState(*state, absl::UnixEpoch()), absl::UnixEpoch());
  if (!again.ok() || !(*again == *state)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      bulkhead::v1::ConnectResponse message;
      if (message.ParseFromString(bytes)) {
        (void)bulkhead::sensor::MessageFromProto(message, "192.0.2.1:7443", absl::UnixEpoch());
      }
      break;
    }
    case 1:
      CheckRoundTrip(bytes);
      break;
    case 2:
      (void)bulkhead::sensor::OrderStatementFromProto(bytes);
      break;
    default:
      (void)bulkhead::sensor::LocalDesiredStateFromJson(bytes);
  }
  return 0;
}
