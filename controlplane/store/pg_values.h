// How our values are written as PostgreSQL parameters and read from its results.
#pragma once

#include <optional>
#include <pqxx/pqxx>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/domain/rollout.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// Enums as the words in the tables. A word that a check constraint should have kept out throws pqxx::conversion_error.
std::string ToText(Trust value);
std::string ToText(Direction value);
std::string ToText(PolicyTemplate value);
std::string ToText(PolicyAction value);
std::string ToText(OnExpiry value);
std::string ToText(OnUnreachable value);
std::string ToText(ScopeKind value);
std::string ToText(CommandState value);
std::string ToText(CommandKind value);
std::string ToText(RolloutState value);
std::string ToText(RolloutTargetState value);
Trust TrustFrom(const pqxx::field& field);
Direction DirectionFrom(const pqxx::field& field);
PolicyTemplate PolicyTemplateFrom(const pqxx::field& field);
PolicyAction PolicyActionFrom(const pqxx::field& field);
OnExpiry OnExpiryFrom(const pqxx::field& field);
OnUnreachable OnUnreachableFrom(const pqxx::field& field);
ScopeKind ScopeKindFrom(const pqxx::field& field);
CommandState CommandStateFrom(const pqxx::field& field);
CommandKind CommandKindFrom(const pqxx::field& field);
RolloutState RolloutStateFrom(const pqxx::field& field);
RolloutTargetState RolloutTargetStateFrom(const pqxx::field& field);

// timestamptz as text in UTC, exact to the microsecond. Sessions run with TimeZone UTC and DateStyle ISO.
std::string TimeText(absl::Time time);
// Empty when there is none; for NULLIF.
std::string TimeText(const std::optional<absl::Time>& time);
absl::Time TimeFrom(const pqxx::field& field);
std::optional<absl::Time> OptionalTimeFrom(const pqxx::field& field);

// bytea.
inline pqxx::binarystring Bytes(const std::string& bytes) {
  return pqxx::binarystring(bytes);
}
std::string BytesFrom(const pqxx::field& field);

// text[] (also good for uuid[]). NUL bytes, which PostgreSQL cannot hold, are left out.
std::string TextArray(const std::vector<std::string>& items);
// bytea[].
std::string BytesArray(const std::vector<std::string>& items);
// bigint[] and the like.
template <typename Number>
std::string NumberArray(const std::vector<Number>& items) {
  return absl::StrCat("{", absl::StrJoin(items, ","), "}");
}
std::vector<std::string> TextArrayFrom(const pqxx::field& field);

// jsonb and jsonb[]: one object of all labels, and one object for each pair.
std::string JsonText(const Labels& labels);
std::string JsonTextArray(const std::set<std::pair<std::string, std::string>>& labels);
// From a text[] of "key=value".
Labels LabelsFrom(const pqxx::field& field);

// Text without NUL bytes: a parameter would end at the first.
std::string WithoutNul(absl::string_view text);

}  // namespace bulkhead::controlplane
