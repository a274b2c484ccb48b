// Messages of the control plane to domain values.
#include "sensor/link/convert_in.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "sensor/domain/order_authority.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLongestName = 256;
constexpr uint32_t kLargestPort = 65535;
constexpr uint32_t kLargestPid = 4194304;
constexpr size_t kHashBytes = 32;
constexpr size_t kNonceBytes = 16;
constexpr size_t kLargestStatement = 1 << 20;
constexpr uint32_t kStatementVersion = 1;
constexpr int kMostSensors = 1000;
constexpr int64_t kLatestSecond = 253402300799;  // 9999-12-31T23:59:59Z, the last that a Timestamp may hold

absl::Status Invalid(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

absl::StatusOr<PolicyTemplate> TemplateFromProto(v1::PolicyTemplate in, absl::string_view field) {
  switch (in) {
    case v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT:
      return PolicyTemplate::kNetworkContainment;
    case v1::POLICY_TEMPLATE_NETWORK_ISOLATION:
      return PolicyTemplate::kNetworkIsolation;
    case v1::POLICY_TEMPLATE_BLOCK_BINARY:
      return PolicyTemplate::kBlockBinary;
    case v1::POLICY_TEMPLATE_ALLOW_LIST:
      return PolicyTemplate::kAllowList;
    default:
      return Invalid(field, absl::StrCat(static_cast<int>(in), " is not a template that this sensor knows"));
  }
}

absl::StatusOr<PolicyAction> ActionFromProto(v1::PolicyAction in, PolicyTemplate policy_template,
                                             absl::string_view field) {
  switch (in) {
    case v1::POLICY_ACTION_UNSPECIFIED:
      return policy_template == PolicyTemplate::kBlockBinary ? PolicyAction::kSigkill : PolicyAction::kDeny;
    case v1::POLICY_ACTION_DENY:
      return PolicyAction::kDeny;
    case v1::POLICY_ACTION_SIGKILL:
      return PolicyAction::kSigkill;
    case v1::POLICY_ACTION_NOTIFY:
      return PolicyAction::kNotify;
    default:
      return Invalid(field, absl::StrCat(static_cast<int>(in), " is not an action that this sensor knows"));
  }
}

// `clock_offset`: how far this host's clock is ahead of the control plane's.
absl::Status LeaseFromProto(const v1::EnforcementPolicy& in, const std::string& field, absl::Duration clock_offset,
                            Policy* out) {
  if (!v1::OnExpiry_IsValid(in.on_expiry())) {
    return Invalid(absl::StrCat(field, ".on_expiry"), "is not RELEASE or HOLD; this sensor knows no other");
  }
  if (!v1::OnUnreachable_IsValid(in.on_unreachable())) {
    return Invalid(absl::StrCat(field, ".on_unreachable"), "is not ROLL_BACK or HOLD; this sensor knows no other");
  }
  if (in.on_expiry() == v1::ON_EXPIRY_HOLD) out->on_expiry = OnExpiry::kHold;
  if (in.on_unreachable() == v1::ON_UNREACHABLE_HOLD) out->on_unreachable = OnUnreachable::kHold;
  if (!in.has_expires_at()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const absl::Time expires_at, TimeFromProto(in.expires_at(), absl::StrCat(field, ".expires_at")));
  out->expires_at = expires_at + clock_offset;
  return absl::OkStatus();
}

absl::StatusOr<PolicyScope> ScopeFromProto(const v1::Scope& in, const std::string& field) {
  PolicyScope out;
  switch (in.target_case()) {
    case v1::Scope::kCgroup:
      out = {PolicyScope::Kind::kCgroup, in.cgroup()};
      break;
    case v1::Scope::kSystemdUnit:
      out = {PolicyScope::Kind::kSystemdUnit, in.systemd_unit()};
      break;
    case v1::Scope::kContainer:
      out = {PolicyScope::Kind::kContainer, in.container()};
      break;
    case v1::Scope::TARGET_NOT_SET:
      return Invalid(field, "names neither a cgroup nor a systemd_unit nor a container; this sensor knows no other");
  }
  if (const absl::Status status = CheckPolicyScope(out); !status.ok()) {
    return Invalid(field, absl::StrCat("\"", out.name, "\" ", status.message()));
  }
  return out;
}

std::shared_ptr<const SignedOrder> SignedOrderFromProto(const v1::SignedOrder& in);

// What the kernel does about a policy: everything but its id and name.
absl::StatusOr<Policy> ContentFromProto(const v1::EnforcementPolicy& in, const std::string& field,
                                        absl::Duration clock_offset) {
  Policy out;
  ASSIGN_OR_RETURN(out.policy_template, TemplateFromProto(in.template_(), absl::StrCat(field, ".template")));
  ASSIGN_OR_RETURN(out.action, ActionFromProto(in.action(), out.policy_template, absl::StrCat(field, ".action")));
  if (in.has_block_binary()) {
    out.binary_path = in.block_binary().path();
    out.binary_sha256 = in.block_binary().sha256();
    out.kill_running = in.block_binary().kill_running();
    out.forced = in.block_binary().forced();
    out.block_list = in.block_binary().list().name();
    for (const v1::BlockedBinary& binary : in.block_binary().list().binaries()) {
      out.blocked.push_back({binary.path(), binary.sha256()});
    }
  }
  for (const v1::AllowedBinary& binary : in.allow_list().binaries()) {
    out.allowed.push_back({binary.path(), binary.sha256()});
  }
  out.learn = in.allow_list().learn();
  if (in.has_allow_list()) out.kill_running = in.allow_list().kill_running();
  if (in.has_scope()) {
    ASSIGN_OR_RETURN(out.scope, ScopeFromProto(in.scope(), absl::StrCat(field, ".scope")));
  }
  RETURN_IF_ERROR(LeaseFromProto(in, field, clock_offset, &out));
  return out;
}

absl::StatusOr<Policy> PolicyFromProto(const v1::EnforcementPolicy& in, const std::string& field,
                                       absl::Duration clock_offset) {
  if (in.id().empty() || in.id().size() > kLongestName) {
    return Invalid(absl::StrCat(field, ".id"), absl::StrCat("has ", in.id().size(), " bytes; 1..", kLongestName));
  }
  if (in.name().size() > kLongestName) {
    return Invalid(absl::StrCat(field, ".name"), absl::StrCat("is longer than ", kLongestName, " bytes"));
  }
  // sent_at is the control plane's word: it moves no lease that operators signed.
  ASSIGN_OR_RETURN(Policy out,
                   ContentFromProto(in, field, in.has_signed_order() ? absl::ZeroDuration() : clock_offset));
  out.id = in.id();
  out.name = in.name();
  if (in.has_signed_order()) out.signed_order = SignedOrderFromProto(in.signed_order());
  return out;
}

absl::StatusOr<Direction> DirectionFromProto(v1::Direction in, absl::string_view field) {
  switch (in) {
    case v1::DIRECTION_INBOUND:
      return Direction::kInbound;
    case v1::DIRECTION_OUTBOUND:
      return Direction::kOutbound;
    case v1::DIRECTION_ANY:
      return Direction::kAny;
    default:
      return Invalid(field, absl::StrCat(static_cast<int>(in), " is not INBOUND, OUTBOUND or ANY"));
  }
}

absl::StatusOr<IsolationRule> RuleFromProto(const v1::IsolationRule& in, const std::string& field) {
  IsolationRule out;
  out.id = in.id();
  if (!in.address().empty()) {
    absl::StatusOr<IpPrefix> remote = IpPrefix::Parse(in.address());
    if (!remote.ok()) return Invalid(absl::StrCat(field, ".address"), remote.status().message());
    out.remote = *remote;
  }
  if (in.has_ports()) {
    const uint32_t first = in.ports().first();
    const uint32_t last = in.ports().last();
    if (first < 1 || last > kLargestPort || first > last) {
      return Invalid(absl::StrCat(field, ".ports"),
                     absl::StrCat("[", first, ", ", last, "] is not a range within 1..", kLargestPort));
    }
    out.first_port = static_cast<uint16_t>(first);
    out.last_port = static_cast<uint16_t>(last);
  }
  if (in.protocol() > 255) {
    return Invalid(absl::StrCat(field, ".protocol"), absl::StrCat(in.protocol(), " is not an IP protocol, 0..255"));
  }
  out.protocol = static_cast<uint8_t>(in.protocol());
  ASSIGN_OR_RETURN(out.direction, DirectionFromProto(in.direction(), absl::StrCat(field, ".direction")));
  return out;
}

absl::StatusOr<ProcessIdentity> ProcessFromProto(const v1::ProcessIdentity& in, const std::string& field) {
  if (in.pid() < 2 || in.pid() > kLargestPid) {
    return Invalid(absl::StrCat(field, ".pid"), absl::StrCat(in.pid(), " is not a pid within 2..", kLargestPid));
  }
  ProcessIdentity out{in.pid(), in.start_time_ticks(), in.boot_id(), in.executable()};
  if (!out.executable.empty() && (out.executable[0] != '/' || out.executable.find('\0') != std::string::npos)) {
    return Invalid(absl::StrCat(field, ".executable"), "is not an absolute path");
  }
  if (in.has_not_started_after()) {
    ASSIGN_OR_RETURN(out.not_started_after,
                     TimeFromProto(in.not_started_after(), absl::StrCat(field, ".not_started_after")));
  } else if (in.start_time_ticks() == 0) {
    return Invalid(field,
                   "has neither start_time_ticks nor not_started_after; the pid alone may by now be "
                   "another process");
  }
  return out;
}

absl::StatusOr<RunningFile> RunningFileFromProto(const v1::RunningFile& in) {
  if (in.path().empty() && in.sha256().empty()) return Invalid("kill_group.file", "has neither a path nor a SHA-256");
  if (!in.path().empty() && (in.path()[0] != '/' || in.path().find('\0') != std::string::npos)) {
    return Invalid("kill_group.file.path", "is not an absolute path");
  }
  if (!in.sha256().empty() && in.sha256().size() != kHashBytes) {
    return Invalid("kill_group.file.sha256",
                   absl::StrCat("has ", in.sha256().size(), " bytes; SHA-256 has ", kHashBytes));
  }
  return RunningFile{in.path(), in.sha256()};
}

absl::StatusOr<KillGroup> KillGroupFromProto(const v1::KillGroup& in) {
  switch (in.target_case()) {
    case v1::KillGroup::kTree: {
      ASSIGN_OR_RETURN(ProcessIdentity root, ProcessFromProto(in.tree(), "kill_group.tree"));
      return ProcessTree{std::move(root)};
    }
    case v1::KillGroup::kFile:
      return RunningFileFromProto(in.file());
    case v1::KillGroup::kScope:
      return ScopeFromProto(in.scope(), "kill_group.scope");
    case v1::KillGroup::TARGET_NOT_SET:
      break;
  }
  return Invalid("kill_group", "names neither a tree, nor a file, nor a scope; this sensor knows no other group");
}

absl::StatusOr<GuardOrder> GuardOrderFromProto(const v1::Command& in) {
  if (in.has_set_guard_code()) {
    const std::string& hash = in.set_guard_code().sha256();
    if (hash.size() != kHashBytes) {
      return Invalid("set_guard_code.sha256", absl::StrCat("has ", hash.size(), " bytes; SHA-256 has ", kHashBytes));
    }
    return SetGuardCode{hash};
  }
  const google::protobuf::Duration& down = in.lower_guard().duration();
  const int64_t longest = absl::ToInt64Seconds(kLongestGuardDown);
  if (down.nanos() != 0 || down.seconds() < 1 || down.seconds() > longest) {
    return Invalid("lower_guard.duration", absl::StrCat("is not a number of whole seconds within 1..", longest));
  }
  return LowerGuard{absl::Seconds(down.seconds())};
}

// True when some message in it has a field that this version does not know: it may be a restriction.
bool HasUnknownFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  return std::any_of(fields.begin(), fields.end(), [&](const google::protobuf::FieldDescriptor* field) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) return false;
    if (!field->is_repeated()) return HasUnknownFields(reflection.GetMessage(message, field));
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (HasUnknownFields(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
    return false;
  });
}

absl::StatusOr<LiftOrder> LiftFromProto(const v1::PolicySlot& in) {
  LiftOrder out;
  ASSIGN_OR_RETURN(out.where.policy_template, TemplateFromProto(in.template_(), "lift.template"));
  if (in.has_scope()) {
    ASSIGN_OR_RETURN(out.where.scope, ScopeFromProto(in.scope(), "lift.scope"));
  }
  out.where.binary_path = in.path();
  out.where.binary_sha256 = in.sha256();
  out.where.block_list = in.list();
  const bool is_block = out.where.policy_template == PolicyTemplate::kBlockBinary;
  const bool names_file = !in.path().empty() || !in.sha256().empty();
  if (is_block != (names_file || !in.list().empty()) || (names_file && !in.list().empty())) {
    return Invalid("lift", "names a file or a list exactly for BLOCK_BINARY");
  }
  return out;
}

absl::StatusOr<decltype(OrderStatement::order)> SignedContentFromProto(const v1::OrderStatement& in) {
  switch (in.order_case()) {
    case v1::OrderStatement::kPolicy:
      return ContentFromProto(in.policy(), "policy", absl::ZeroDuration());
    case v1::OrderStatement::kLift:
      return LiftFromProto(in.lift());
    case v1::OrderStatement::kKillProcess:
      return ProcessFromProto(in.kill_process(), "kill_process");
    case v1::OrderStatement::kKillGroup:
      return KillGroupFromProto(in.kill_group());
    case v1::OrderStatement::kLowerGuard: {
      v1::Command command;
      *command.mutable_lower_guard() = in.lower_guard();
      ASSIGN_OR_RETURN(const GuardOrder order, GuardOrderFromProto(command));
      return std::get<LowerGuard>(order);
    }
    case v1::OrderStatement::ORDER_NOT_SET:
      break;
  }
  return Invalid("order", "is unset");
}

absl::Status AudienceFromProto(const v1::OrderStatement& in, OrderStatement* out) {
  if (in.sensor_ids().empty() || in.sensor_ids_size() > kMostSensors) {
    return Invalid("sensor_ids", absl::StrCat("has ", in.sensor_ids_size(), " entries; 1..", kMostSensors));
  }
  for (const std::string& id : in.sensor_ids()) {
    if (!IsUuid(id)) return Invalid("sensor_ids", "holds something that is not a UUID");
    out->sensor_ids.push_back(id);
  }
  return absl::OkStatus();
}

std::shared_ptr<const SignedOrder> SignedOrderFromProto(const v1::SignedOrder& in) {
  auto out = std::make_shared<SignedOrder>();
  out->statement = in.statement();
  for (const v1::OrderSignature& signature : in.signatures()) {
    // More cost time and can add nothing.
    if (out->signatures.size() == kMostSignatures) break;
    out->signatures.push_back({signature.key_id(), signature.signature()});
  }
  out->says = OrderStatementFromProto(in.statement());
  return out;
}

absl::StatusOr<LinkMessage> WelcomeFromProto(const v1::Welcome& in, const std::string& address) {
  const uint32_t seconds = in.heartbeat_interval_seconds();
  if (seconds < 1 || seconds > kLongestHeartbeatSeconds) {
    return Invalid("welcome.heartbeat_interval_seconds",
                   absl::StrCat(seconds, " is not within 1..", kLongestHeartbeatSeconds));
  }
  return LinkWelcome{absl::Seconds(seconds), in.replica_id(), address};
}

LinkMessage HeartbeatResponseFromProto(const v1::HeartbeatResponse& in, absl::Time received) {
  LinkDesiredState out;
  out.heartbeat_sequence = in.sequence();
  out.unchanged = in.unchanged();
  out.renew_certificate = in.renew_certificate();
  if (in.has_desired_state()) {
    out.generation = in.desired_state().generation();
    out.state = DesiredStateFromProto(in.desired_state(), received);
    out.unchanged = false;
  } else if (!in.unchanged()) {
    out.state = Invalid("heartbeat_response", "has neither desired_state nor unchanged set");
  }
  return out;
}

LinkMessage GoodbyeFromProto(const v1::Goodbye& in) {
  const std::string text = absl::StrCat("the control plane said goodbye: ", in.message());
  switch (in.reason()) {
    case v1::GOODBYE_REASON_REVOKED:
      return LinkDown{absl::UnauthenticatedError(text), "SENSOR_REVOKED"};
    case v1::GOODBYE_REASON_SUPERSEDED:
      return LinkDown{absl::AbortedError(text), "SUPERSEDED"};
    default:
      return LinkDown{absl::UnavailableError(text), "SHUTDOWN"};
  }
}

}  // namespace

absl::StatusOr<absl::Time> TimeFromProto(const google::protobuf::Timestamp& in, absl::string_view field) {
  if (in.seconds() < 0 || in.seconds() > kLatestSecond || in.nanos() < 0 || in.nanos() > 999999999) {
    return Invalid(field, "is not a time between 1970 and 9999");
  }
  return absl::FromUnixSeconds(in.seconds()) + absl::Nanoseconds(in.nanos());
}

absl::StatusOr<OrderStatement> OrderStatementFromProto(const std::string& bytes) {
  v1::OrderStatement in;
  if (bytes.size() > kLargestStatement || !in.ParseFromString(bytes)) {
    return absl::InvalidArgumentError("the bytes are not a bulkhead.v1.OrderStatement");
  }
  if (in.version() != kStatementVersion) {
    return Invalid("version", absl::StrCat("is ", in.version(), "; this sensor knows ", kStatementVersion));
  }
  if (HasUnknownFields(in)) return absl::InvalidArgumentError("it has a field that this sensor does not know");
  if (in.nonce().size() != kNonceBytes) return Invalid("nonce", "does not have 16 bytes");
  if (!in.has_issued_at() || !in.has_expires_at()) return Invalid("issued_at, expires_at", "are not both set");
  OrderStatement out;
  RETURN_IF_ERROR(AudienceFromProto(in, &out));
  ASSIGN_OR_RETURN(out.issued_at, TimeFromProto(in.issued_at(), "issued_at"));
  ASSIGN_OR_RETURN(out.expires_at, TimeFromProto(in.expires_at(), "expires_at"));
  if (out.expires_at <= out.issued_at || out.expires_at > out.issued_at + kLongestStatement) {
    return Invalid("expires_at", "is not within 30 days after issued_at");
  }
  ASSIGN_OR_RETURN(out.order, SignedContentFromProto(in));
  return out;
}

absl::StatusOr<DesiredState> DesiredStateFromProto(const v1::DesiredState& in, absl::Time received) {
  DesiredState out;
  absl::Duration clock_offset = absl::ZeroDuration();
  if (in.has_sent_at()) {
    ASSIGN_OR_RETURN(const absl::Time sent_at, TimeFromProto(in.sent_at(), "sent_at"));
    clock_offset = received - sent_at;
  }
  if (!IsUuid(in.sensor_id())) return Invalid("sensor_id", "is not a UUID");
  out.sensor_id = in.sensor_id();
  out.generation = in.generation();
  if (in.digest().size() != out.digest.size()) {
    return Invalid("digest", absl::StrCat("has ", in.digest().size(), " bytes; SHA-256 has 32"));
  }
  std::copy(in.digest().begin(), in.digest().end(), out.digest.begin());
  for (int i = 0; i < in.enforcement_policies_size(); ++i) {
    ASSIGN_OR_RETURN(Policy policy, PolicyFromProto(in.enforcement_policies(i),
                                                    absl::StrCat("enforcement_policies[", i, "]"), clock_offset));
    out.policies.push_back(std::move(policy));
  }
  for (int i = 0; i < in.isolation_rules_size(); ++i) {
    ASSIGN_OR_RETURN(IsolationRule rule,
                     RuleFromProto(in.isolation_rules(i), absl::StrCat("isolation_rules[", i, "]")));
    out.isolation_rules.push_back(std::move(rule));
  }
  for (const v1::SignedOrder& release : in.signed_releases()) out.releases.push_back(SignedOrderFromProto(release));
  if (in.contained() != out.contained() || in.isolated() != out.isolated()) {
    return Invalid("enforcement_policies", "do not agree with the flags contained and isolated");
  }
  return out;
}

absl::StatusOr<Command> CommandFromProto(const v1::Command& in, absl::Time received) {
  Command out;
  if (!IsUuid(in.id())) return Invalid("id", "is not a UUID");
  if (in.has_kill_process() + in.has_kill_group() + in.has_lower_guard() + in.has_set_guard_code() != 1) {
    return Invalid("kill_process, kill_group, lower_guard, set_guard_code",
                   "are not set exactly one, and this sensor knows no other command");
  }
  if (!in.has_not_after()) return Invalid("not_after", "is unset; a command without a deadline is not carried out");
  out.id = in.id();
  out.sensor_id = in.sensor_id();
  if (in.has_kill_process()) {
    ASSIGN_OR_RETURN(out.process, ProcessFromProto(in.kill_process(), "kill_process"));
  } else if (in.has_kill_group()) {
    ASSIGN_OR_RETURN(out.group, KillGroupFromProto(in.kill_group()));
  } else {
    ASSIGN_OR_RETURN(out.guard, GuardOrderFromProto(in));
  }
  ASSIGN_OR_RETURN(out.not_after, TimeFromProto(in.not_after(), "not_after"));
  if (in.has_signed_order()) out.signed_order = SignedOrderFromProto(in.signed_order());
  if (in.has_sent_at()) {
    ASSIGN_OR_RETURN(const absl::Time sent_at, TimeFromProto(in.sent_at(), "sent_at"));
    const absl::Duration clock_offset = received - sent_at;
    out.process.not_started_after += clock_offset;
    if (out.kind() == CommandKind::kKillGroup) {
      if (auto* tree = std::get_if<ProcessTree>(&*out.group)) tree->root.not_started_after += clock_offset;
    }
    out.not_after += clock_offset;
  }
  return out;
}

absl::StatusOr<LinkMessage> MessageFromProto(const v1::ConnectResponse& in, const std::string& address,
                                             absl::Time received) {
  switch (in.message_case()) {
    case v1::ConnectResponse::kWelcome:
      return WelcomeFromProto(in.welcome(), address);
    case v1::ConnectResponse::kHeartbeatResponse:
      return HeartbeatResponseFromProto(in.heartbeat_response(), received);
    case v1::ConnectResponse::kCommand:
      return LinkCommand{in.command().id(), CommandFromProto(in.command(), received)};
    case v1::ConnectResponse::kCommandAck:
      return LinkCommandAck{in.command_ack().command_id()};
    case v1::ConnectResponse::kEventAck:
      return LinkEventAck{in.event_ack().through_sequence()};
    case v1::ConnectResponse::kCertificateIssued:
      return LinkCertificateIssued{in.certificate_issued().certificate_chain_pem(),
                                   in.certificate_issued().trust_bundle_pem()};
    case v1::ConnectResponse::kGoodbye:
      return GoodbyeFromProto(in.goodbye());
    case v1::ConnectResponse::MESSAGE_NOT_SET:
      break;
  }
  return Invalid("message", "is unset or of a kind that this sensor does not know");
}

}  // namespace bulkhead::sensor
