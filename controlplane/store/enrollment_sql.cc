// Enrollment tokens in the database.
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelect[] =
    "SELECT id, label, created_at, created_by, expires_at, uses, max_uses, allowed_networks,"
    " (SELECT u.sensor_id FROM enrollment_token_uses u WHERE u.token_id = id AND u.number = uses) AS used_by_sensor_id,"
    " revoked_at IS NOT NULL AS revoked, expires_at <= now() AS expired, reenroll_sensor_id,"
    " ARRAY(SELECT key || '=' || value FROM jsonb_each_text(sensor_labels)) AS sensor_labels FROM enrollment_tokens ";

TokenState StateFrom(const pqxx::row& row) {
  if (row["revoked"].as<bool>()) return TokenState::kRevoked;
  if (row["uses"].as<uint32_t>() >= row["max_uses"].as<uint32_t>()) return TokenState::kUsed;
  return row["expired"].as<bool>() ? TokenState::kExpired : TokenState::kActive;
}

EnrollmentToken TokenFrom(const pqxx::row& row) {
  EnrollmentToken token;
  token.id = row["id"].c_str();
  token.label = row["label"].c_str();
  token.state = StateFrom(row);
  token.created_at = TimeFrom(row["created_at"]);
  token.created_by = row["created_by"].c_str();
  token.expires_at = TimeFrom(row["expires_at"]);
  token.used_by_sensor_id = row["used_by_sensor_id"].c_str();
  token.reenroll_sensor_id = row["reenroll_sensor_id"].c_str();
  token.sensor_labels = LabelsFrom(row["sensor_labels"]);
  token.max_uses = row["max_uses"].as<uint32_t>();
  token.uses = row["uses"].as<uint32_t>();
  for (const std::string& text : TextArrayFrom(row["allowed_networks"])) {
    const absl::StatusOr<IpPrefix> network = IpPrefix::Parse(text);
    if (!network.ok()) throw pqxx::conversion_error("enrollment_tokens.allowed_networks holds no prefix: " + text);
    token.allowed_networks.push_back(*network);
  }
  return token;
}

std::string NetworkArray(const std::vector<IpPrefix>& networks) {
  std::vector<std::string> texts;
  for (const IpPrefix& network : networks) texts.push_back(network.ToString());
  return TextArray(texts);
}

EnrollmentTokenUse UseFrom(const pqxx::row& row) {
  return {.number = row["number"].as<uint32_t>(),
          .sensor_id = row["sensor_id"].c_str(),
          .sensor_name = row["sensor_name"].c_str(),
          .used_at = TimeFrom(row["used_at"]),
          .address = row["address"].c_str()};
}

}  // namespace

absl::Status PgTransaction::InsertToken(const EnrollmentToken& token, const std::string& secret) {
  return Execute("store an enrollment token",
                 "INSERT INTO enrollment_tokens (id, secret_hash, label, created_at, created_by, expires_at, "
                 "reenroll_sensor_id, sensor_labels, max_uses, allowed_networks)"
                 " VALUES ($1::uuid, $2, $3, $4::timestamptz, $5, $6::timestamptz, NULLIF($7, '')::uuid, $8::jsonb, $9,"
                 " $10::text[])",
                 token.id, Bytes(Sha256(secret)), token.label, TimeText(token.created_at), token.created_by,
                 TimeText(token.expires_at), token.reenroll_sensor_id, JsonText(token.sensor_labels), token.max_uses,
                 NetworkArray(token.allowed_networks))
      .status();
}

absl::StatusOr<EnrollmentToken> PgTransaction::FindTokenBySecret(const std::string& secret) {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("find an enrollment token", absl::StrCat(kSelect, "WHERE secret_hash = $1 FOR UPDATE"),
                           Bytes(Sha256(secret))));
  if (rows.empty()) return absl::NotFoundError("no enrollment token has this secret");
  return ReadRow("find an enrollment token", rows.front(), TokenFrom);
}

absl::StatusOr<EnrollmentToken> PgTransaction::GetToken(const std::string& token_id) {
  if (!IsUuid(token_id)) return TokenNotFound(token_id);
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read an enrollment token", absl::StrCat(kSelect, "WHERE id = $1::uuid"), token_id));
  if (rows.empty()) return TokenNotFound(token_id);
  return ReadRow("read an enrollment token", rows.front(), TokenFrom);
}

absl::StatusOr<Page<EnrollmentToken>> PgTransaction::ListTokens(int page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = "tokens";
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 2, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list enrollment tokens",
              absl::StrCat(kSelect,
                           "WHERE ($1 = '' OR (created_at, id) < (NULLIF($1, '')::timestamptz, NULLIF($2, '')::uuid))"
                           " ORDER BY created_at DESC, id DESC LIMIT $3"),
              after.empty() ? std::string() : after[0], after.empty() ? std::string() : after[1], limit + 1));
  ASSIGN_OR_RETURN(std::vector<EnrollmentToken> tokens, ReadRows("list enrollment tokens", rows, TokenFrom));
  return MakePage(std::move(tokens), limit, list, [](const EnrollmentToken& last) {
    return std::vector<std::string>{TimeText(last.created_at), last.id};
  });
}

absl::Status PgTransaction::UseToken(const std::string& token_id, const EnrollmentTokenUse& use) {
  // The row's lock makes uses at other replicas wait, and then see the number that this one leaves.
  ASSIGN_OR_RETURN(const pqxx::result used,
                   Execute("use an enrollment token",
                           "WITH used AS (UPDATE enrollment_tokens SET uses = uses + 1"
                           " WHERE id = $1::uuid AND uses < max_uses AND revoked_at IS NULL RETURNING id, uses)"
                           " INSERT INTO enrollment_token_uses (token_id, number, sensor_id, sensor_name, address)"
                           " SELECT id, uses, $2::uuid, $3, $4 FROM used",
                           token_id, use.sensor_id, use.sensor_name, WithoutNul(use.address)));
  return used.affected_rows() == 0 ? TokenUsed() : absl::OkStatus();
}

absl::StatusOr<Page<EnrollmentTokenUse>> PgTransaction::ListTokenUses(const std::string& token_id, int page_size,
                                                                      const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  RETURN_IF_ERROR(GetToken(token_id).status());
  const std::string list = absl::StrCat("token-uses/", token_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 1, page_token));
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("list the uses of an enrollment token",
                           "SELECT number, sensor_id, sensor_name, used_at, address FROM enrollment_token_uses"
                           " WHERE token_id = $1::uuid AND number > $2::integer ORDER BY number LIMIT $3",
                           token_id, after.empty() ? std::string("0") : after[0], limit + 1));
  ASSIGN_OR_RETURN(std::vector<EnrollmentTokenUse> uses,
                   ReadRows("list the uses of an enrollment token", rows, UseFrom));
  return MakePage(std::move(uses), limit, list,
                  [](const EnrollmentTokenUse& last) { return std::vector<std::string>{absl::StrCat(last.number)}; });
}

absl::Status PgTransaction::RevokeToken(const std::string& token_id) {
  ASSIGN_OR_RETURN(const pqxx::result revoked,
                   Execute("revoke an enrollment token",
                           "UPDATE enrollment_tokens SET revoked_at = coalesce(revoked_at, now())"
                           " WHERE id = $1::uuid AND uses < max_uses",
                           token_id));
  return revoked.affected_rows() == 0 ? TokenAlreadyUsed(token_id) : absl::OkStatus();
}

}  // namespace bulkhead::controlplane
