// Desired and observed state as bytes and text.
#include "sensor/link/state_codec.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/hex.h"
#include "common/status_macros.h"
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

std::string EncodeDesiredState(const DesiredState& state, absl::Time now) {
  v1::DesiredState message = DesiredStateToProto(state);
  message.mutable_sent_at()->set_seconds(absl::ToUnixSeconds(now));
  return message.SerializeAsString();
}

absl::StatusOr<DesiredState> DecodeDesiredState(absl::string_view bytes, absl::Time now) {
  v1::DesiredState message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("the bytes are not a bulkhead.v1.DesiredState");
  }
  // The same clock wrote it, so its times stand, unless that clock was set back.
  if (now >= absl::FromUnixSeconds(message.sent_at().seconds())) message.clear_sent_at();
  ASSIGN_OR_RETURN(DesiredState state, DesiredStateFromProto(message, now));
  // Nobody but this sensor says what it refuses and what it took, so the conversion of what comes from outside does not
  // read it.
  for (int i = 0; i < message.enforcement_policies_size(); ++i) {
    state.policies[static_cast<size_t>(i)].refused = message.enforcement_policies(i).refused();
    state.policies[static_cast<size_t>(i)].kept = message.enforcement_policies(i).kept();
    state.policies[static_cast<size_t>(i)].signed_order.reset();
  }
  state.releases.clear();
  for (const v1::OrderMark& mark : message.order_marks()) {
    ASSIGN_OR_RETURN(state.order_marks[mark.slot()], TimeFromProto(mark.issued_at(), "order_marks"));
  }
  return state;
}

absl::StatusOr<DesiredState> LocalDesiredStateFromJson(const std::string& json) {
  v1::DesiredState message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("not a bulkhead.v1.DesiredState: ",
                                                   std::string(status.message().data(), status.message().size())));
  }
  if (message.sensor_id().empty()) message.set_sensor_id(kLocalSensorId);
  if (message.generation() == 0) message.set_generation(1);
  message.set_contained(false);
  message.set_isolated(false);
  for (int i = 0; i < message.enforcement_policies_size(); ++i) {
    v1::EnforcementPolicy* policy = message.mutable_enforcement_policies(i);
    if (policy->id().empty()) policy->set_id(absl::StrCat("local-", i + 1));
    if (policy->has_scope()) continue;
    if (policy->template_() == v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT) message.set_contained(true);
    if (policy->template_() == v1::POLICY_TEMPLATE_NETWORK_ISOLATION) message.set_isolated(true);
  }
  message.clear_digest();
  message.set_digest(Sha256(message.SerializeAsString()));
  // Times in a file are this host's.
  message.clear_sent_at();
  return DesiredStateFromProto(message, absl::Now());
}

std::string ObservedStateToJson(const ObservedState& observed) {
  return ToJson(ObservedStateToProto(observed));
}

std::string CapabilitiesToJson(const Capabilities& capabilities) {
  return ToJson(CapabilitiesToProto(capabilities));
}

}  // namespace bulkhead::sensor
