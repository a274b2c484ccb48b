// Values of the protocol as words for a person.
#include "controlplane/cli/words.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace bulkhead::controlplane::cli {
namespace {

bool IsUnset(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0 && time.nanos() == 0;
}

std::string SpanWord(absl::Duration span) {
  if (span < absl::Minutes(1)) return absl::StrCat(absl::ToInt64Seconds(span), "s");
  if (span < absl::Hours(1)) return absl::StrCat(absl::ToInt64Minutes(span), "m");
  if (span < absl::Hours(48)) return absl::StrCat(absl::ToInt64Hours(span), "h");
  return absl::StrCat(absl::ToInt64Hours(span) / 24, "d");
}

}  // namespace

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string Word(const google::protobuf::EnumDescriptor* type, int value) {
  if (value == 0) return "unknown";
  const google::protobuf::EnumValueDescriptor* known = type->FindValueByNumber(value);
  if (known == nullptr) return absl::StrCat(value);
  // Every zero value is <PREFIX>UNSPECIFIED, which is how the prefix is found.
  const std::string zero = type->FindValueByNumber(0)->name();
  const size_t prefix = zero.size() - std::string("UNSPECIFIED").size();
  return absl::StrReplaceAll(absl::AsciiStrToLower(known->name().substr(prefix)), {{"_", "-"}});
}

std::string TimeWord(const google::protobuf::Timestamp& time) {
  if (IsUnset(time)) return "-";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", ToTime(time), absl::UTCTimeZone());
}

std::string AgeWord(const google::protobuf::Timestamp& time, absl::Time now) {
  if (IsUnset(time)) return "-";
  const absl::Duration age = now - ToTime(time);
  // The clocks of two machines differ a little; a second into the future is now.
  if (age < -absl::Seconds(1)) return absl::StrCat("in ", SpanWord(-age));
  return absl::StrCat(SpanWord(std::max(age, absl::ZeroDuration())), " ago");
}

std::string NetworkWord(bool contained, bool isolated) {
  if (contained && isolated) return "contained+isolated";
  if (contained) return "contained";
  return isolated ? "isolated" : "open";
}

std::string ScopeWord(const v1::Scope& scope) {
  switch (scope.target_case()) {
    case v1::Scope::kCgroup:
      return absl::StrCat("cgroup:", scope.cgroup());
    case v1::Scope::kSystemdUnit:
      return absl::StrCat("unit:", scope.systemd_unit());
    case v1::Scope::kContainer:
      return absl::StrCat("container:", scope.container());
    case v1::Scope::TARGET_NOT_SET:
      break;
  }
  return "";
}

std::string PortsWord(const v1::IsolationRule& rule) {
  if (!rule.has_ports()) return "any";
  if (rule.ports().first() == rule.ports().last()) return absl::StrCat(rule.ports().first());
  return absl::StrCat(rule.ports().first(), "-", rule.ports().last());
}

std::string ProtocolWord(unsigned protocol) {
  switch (protocol) {
    case 0:
      return "any";
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 58:
      return "icmpv6";
    default:
      return absl::StrCat(protocol);
  }
}

}  // namespace bulkhead::controlplane::cli
