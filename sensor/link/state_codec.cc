// Desired and observed state as bytes and text.
#include "sensor/link/state_codec.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "sensor/link/convert_in.h"
#include "sensor/link/convert_out.h"

namespace bulkhead::sensor {
namespace {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string json;
  // Converting a message that is in memory to text cannot fail: it holds neither Any nor times out of range.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  return json;
}

}  // namespace

std::string EncodeDesiredState(const DesiredState& state) {
  return DesiredStateToProto(state).SerializeAsString();
}

absl::StatusOr<DesiredState> DecodeDesiredState(absl::string_view bytes) {
  v1::DesiredState message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("the bytes are not a bulkhead.v1.DesiredState");
  }
  return DesiredStateFromProto(message);
}

absl::StatusOr<DesiredState> DesiredStateFromJson(const std::string& json) {
  v1::DesiredState message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("not a bulkhead.v1.DesiredState in JSON: ",
                                                   std::string(status.message().data(), status.message().size())));
  }
  return DesiredStateFromProto(message);
}

std::string ObservedStateToJson(const ObservedState& observed) {
  return ToJson(ObservedStateToProto(observed));
}

std::string CapabilitiesToJson(const Capabilities& capabilities) {
  return ToJson(CapabilitiesToProto(capabilities));
}

}  // namespace bulkhead::sensor
