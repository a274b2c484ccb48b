// Values of the protocol as words for a person.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "bulkhead/v1/command.pb.h"
#include "bulkhead/v1/enrollment.pb.h"
#include "bulkhead/v1/policy.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "bulkhead/v1/state.pb.h"
#include "google/protobuf/descriptor.h"

namespace bulkhead::controlplane::cli {

// The name of an enum value without its type's prefix, in lower case with dashes: HEALTH_OFFLINE is "offline". The zero
// value is "unknown"; a number that this program does not know is shown as the number.
std::string Word(const google::protobuf::EnumDescriptor* type, int value);

inline std::string Word(v1::Health value) {
  return Word(v1::Health_descriptor(), value);
}
inline std::string Word(v1::Trust value) {
  return Word(v1::Trust_descriptor(), value);
}
inline std::string Word(v1::Tier value) {
  return Word(v1::Tier_descriptor(), value);
}
inline std::string Word(v1::ConvergenceState value) {
  return Word(v1::ConvergenceState_descriptor(), value);
}
inline std::string Word(v1::Direction value) {
  return Word(v1::Direction_descriptor(), value);
}
inline std::string Word(v1::PolicyTemplate value) {
  return Word(v1::PolicyTemplate_descriptor(), value);
}
inline std::string Word(v1::PolicyAction value) {
  return Word(v1::PolicyAction_descriptor(), value);
}
inline std::string Word(v1::OnExpiry value) {
  return Word(v1::OnExpiry_descriptor(), value);
}
inline std::string Word(v1::CommandState value) {
  return Word(v1::CommandState_descriptor(), value);
}
inline std::string Word(v1::KillOutcome value) {
  return Word(v1::KillOutcome_descriptor(), value);
}
inline std::string Word(v1::GuardOutcome value) {
  return Word(v1::GuardOutcome_descriptor(), value);
}
inline std::string Word(v1::GuardState value) {
  return Word(v1::GuardState_descriptor(), value);
}
inline std::string Word(v1::EnrollmentTokenState value) {
  return Word(v1::EnrollmentTokenState_descriptor(), value);
}

// The epoch for an unset time.
absl::Time ToTime(const google::protobuf::Timestamp& time);

// "2026-03-15T10:00:00Z"; "-" for an unset time.
std::string TimeWord(const google::protobuf::Timestamp& time);

// "3s ago", "5m ago", "2h ago", "4d ago", and "in 5m" for the future; "-" for an unset time.
std::string AgeWord(const google::protobuf::Timestamp& time, absl::Time now);

// "contained", "isolated", "contained+isolated" or "open".
std::string NetworkWord(bool contained, bool isolated);

// "cgroup:/a/b", "unit:nginx.service" or "container:0123456789ab"; empty for a scope that names nothing.
std::string ScopeWord(const v1::Scope& scope);

// "any", "22" or "4505-4506".
std::string PortsWord(const v1::IsolationRule& rule);

// "any", "tcp", "udp", "icmp", "icmpv6" or the number.
std::string ProtocolWord(unsigned protocol);

}  // namespace bulkhead::controlplane::cli
