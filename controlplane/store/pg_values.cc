// How our values are written as PostgreSQL parameters and read from its results.
#include "controlplane/store/pg_values.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "controlplane/domain/json_object.h"

namespace bulkhead::controlplane {
namespace {

template <typename E>
using Words = std::pair<E, const char*>;

constexpr Words<Trust> kTrusts[] = {{Trust::kTrusted, "trusted"}, {Trust::kRevoked, "revoked"}};
constexpr Words<Direction> kDirections[] = {
    {Direction::kInbound, "inbound"}, {Direction::kOutbound, "outbound"}, {Direction::kAny, "any"}};
constexpr Words<PolicyTemplate> kTemplates[] = {{PolicyTemplate::kNetworkContainment, "network-containment"},
                                                {PolicyTemplate::kNetworkIsolation, "network-isolation"},
                                                {PolicyTemplate::kBlockBinary, "block-binary"},
                                                {PolicyTemplate::kAllowList, "allow-list"}};
constexpr Words<PolicyAction> kActions[] = {
    {PolicyAction::kDeny, "deny"}, {PolicyAction::kSigkill, "sigkill"}, {PolicyAction::kNotify, "notify"}};
constexpr Words<CommandKind> kCommandKinds[] = {
    {CommandKind::kKillProcess, "kill_process"}, {CommandKind::kKillTree, "kill_tree"},
    {CommandKind::kKillFile, "kill_file"},       {CommandKind::kKillScope, "kill_scope"},
    {CommandKind::kLowerGuard, "lower_guard"},   {CommandKind::kSetGuardCode, "set_guard_code"}};
constexpr Words<OnExpiry> kOnExpiry[] = {{OnExpiry::kRelease, "release"}, {OnExpiry::kHold, "hold"}};
constexpr Words<OnUnreachable> kOnUnreachable[] = {{OnUnreachable::kRollBack, "roll-back"},
                                                   {OnUnreachable::kHold, "hold"}};
constexpr Words<ScopeKind> kScopeKinds[] = {
    {ScopeKind::kCgroup, "cgroup"}, {ScopeKind::kSystemdUnit, "unit"}, {ScopeKind::kContainer, "container"}};
constexpr Words<CommandState> kCommandStates[] = {{CommandState::kQueued, "queued"},
                                                  {CommandState::kDelivered, "delivered"},
                                                  {CommandState::kSucceeded, "succeeded"},
                                                  {CommandState::kFailed, "failed"},
                                                  {CommandState::kExpired, "expired"}};

constexpr Words<RolloutState> kRolloutStates[] = {{RolloutState::kRunning, "running"},
                                                  {RolloutState::kHalted, "halted"},
                                                  {RolloutState::kDone, "done"},
                                                  {RolloutState::kCancelled, "cancelled"}};
constexpr Words<RolloutTargetState> kRolloutTargetStates[] = {{RolloutTargetState::kPending, "pending"},
                                                              {RolloutTargetState::kOrdered, "ordered"},
                                                              {RolloutTargetState::kEnforced, "enforced"},
                                                              {RolloutTargetState::kFailed, "failed"}};

template <typename E, size_t N>
std::string WordOf(const Words<E> (&words)[N], E value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) return word;
  }
  return "";  // refused by the column's check constraint
}

template <typename E, size_t N>
E ValueOf(const Words<E> (&words)[N], const pqxx::field& field) {
  const absl::string_view text(field.c_str());
  for (const auto& [value, word] : words) {
    if (text == word) return value;
  }
  throw pqxx::conversion_error(absl::StrCat("column ", field.name(), " holds the unknown word ", text));
}

constexpr char kTimeFormat[] = "%Y-%m-%d %H:%M:%E*S%Ez";

}  // namespace

std::string ToText(Trust value) {
  return WordOf(kTrusts, value);
}
std::string ToText(Direction value) {
  return WordOf(kDirections, value);
}
std::string ToText(PolicyTemplate value) {
  return WordOf(kTemplates, value);
}
std::string ToText(PolicyAction value) {
  return WordOf(kActions, value);
}
std::string ToText(OnExpiry value) {
  return WordOf(kOnExpiry, value);
}
std::string ToText(OnUnreachable value) {
  return WordOf(kOnUnreachable, value);
}
std::string ToText(ScopeKind value) {
  return WordOf(kScopeKinds, value);
}
std::string ToText(CommandState value) {
  return WordOf(kCommandStates, value);
}
std::string ToText(CommandKind value) {
  return WordOf(kCommandKinds, value);
}
std::string ToText(RolloutState value) {
  return WordOf(kRolloutStates, value);
}
std::string ToText(RolloutTargetState value) {
  return WordOf(kRolloutTargetStates, value);
}
Trust TrustFrom(const pqxx::field& field) {
  return ValueOf(kTrusts, field);
}
Direction DirectionFrom(const pqxx::field& field) {
  return ValueOf(kDirections, field);
}
PolicyTemplate PolicyTemplateFrom(const pqxx::field& field) {
  return ValueOf(kTemplates, field);
}
PolicyAction PolicyActionFrom(const pqxx::field& field) {
  return ValueOf(kActions, field);
}
OnExpiry OnExpiryFrom(const pqxx::field& field) {
  return ValueOf(kOnExpiry, field);
}
OnUnreachable OnUnreachableFrom(const pqxx::field& field) {
  return ValueOf(kOnUnreachable, field);
}
ScopeKind ScopeKindFrom(const pqxx::field& field) {
  return ValueOf(kScopeKinds, field);
}
CommandState CommandStateFrom(const pqxx::field& field) {
  return ValueOf(kCommandStates, field);
}

CommandKind CommandKindFrom(const pqxx::field& field) {
  return ValueOf(kCommandKinds, field);
}

RolloutState RolloutStateFrom(const pqxx::field& field) {
  return ValueOf(kRolloutStates, field);
}

RolloutTargetState RolloutTargetStateFrom(const pqxx::field& field) {
  return ValueOf(kRolloutTargetStates, field);
}

std::string TimeText(absl::Time time) {
  // Down to the microsecond that a timestamptz keeps; rounding by the server could otherwise move a time forward.
  return absl::FormatTime(kTimeFormat, absl::FromUnixMicros(absl::ToUnixMicros(time)), absl::UTCTimeZone());
}

std::string TimeText(const std::optional<absl::Time>& time) {
  return time ? TimeText(*time) : "";
}

absl::Time TimeFrom(const pqxx::field& field) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(kTimeFormat, field.c_str(), absl::UTCTimeZone(), &time, &error)) {
    throw pqxx::conversion_error(
        absl::StrCat("column ", field.name(), " holds no time that can be read: ", field.c_str()));
  }
  return time;
}

std::optional<absl::Time> OptionalTimeFrom(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return TimeFrom(field);
}

std::string BytesFrom(const pqxx::field& field) {
  return pqxx::binarystring(field).str();
}

std::string TextArray(const std::vector<std::string>& items) {
  std::string out = "{";
  for (const std::string& item : items) {
    absl::StrAppend(&out, out.size() > 1 ? "," : "", "\"");
    for (const char c : item) {
      if (c == '\0') continue;
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

std::string BytesArray(const std::vector<std::string>& items) {
  std::vector<std::string> texts;
  texts.reserve(items.size());
  for (const std::string& item : items) texts.push_back(absl::StrCat("\\x", ToHex(item)));
  return TextArray(texts);
}

std::vector<std::string> TextArrayFrom(const pqxx::field& field) {
  std::vector<std::string> items;
  pqxx::array_parser parser = field.as_array();
  for (auto step = parser.get_next(); step.first != pqxx::array_parser::juncture::done; step = parser.get_next()) {
    if (step.first == pqxx::array_parser::juncture::string_value) items.push_back(step.second);
  }
  return items;
}

std::string JsonText(const Labels& labels) {
  JsonObject object;
  for (const auto& [key, value] : labels) object.Add(key, value);
  return object.ToString();
}

std::string JsonTextArray(const std::set<std::pair<std::string, std::string>>& labels) {
  std::vector<std::string> objects;
  for (const auto& [key, value] : labels) objects.push_back(JsonText({{key, value}}));
  return TextArray(objects);
}

Labels LabelsFrom(const pqxx::field& field) {
  Labels labels;
  for (const std::string& label : TextArrayFrom(field)) {
    const size_t equals = label.find('=');
    labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return labels;
}

std::string WithoutNul(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '\0') out += c;
  }
  return out;
}

}  // namespace bulkhead::controlplane
