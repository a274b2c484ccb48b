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
    "SELECT id, label, created_at, created_by, expires_at, used_at IS NOT NULL AS used, used_by_sensor_id,"
    " revoked_at IS NOT NULL AS revoked, expires_at <= now() AS expired, reenroll_sensor_id,"
    " ARRAY(SELECT key || '=' || value FROM jsonb_each_text(sensor_labels)) AS sensor_labels FROM enrollment_tokens ";

TokenState StateFrom(const pqxx::row& row) {
  if (row["used"].as<bool>()) return TokenState::kUsed;
  if (row["revoked"].as<bool>()) return TokenState::kRevoked;
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
  return token;
}

}  // namespace

absl::Status PgTransaction::InsertToken(const EnrollmentToken& token, const std::string& secret) {
  return Execute("store an enrollment token",
                 "INSERT INTO enrollment_tokens (id, secret_hash, label, created_at, created_by, expires_at, "
                 "reenroll_sensor_id, sensor_labels)"
                 " VALUES ($1::uuid, $2, $3, $4::timestamptz, $5, $6::timestamptz, NULLIF($7, '')::uuid, $8::jsonb)",
                 token.id, Bytes(Sha256(secret)), token.label, TimeText(token.created_at), token.created_by,
                 TimeText(token.expires_at), token.reenroll_sensor_id, JsonText(token.sensor_labels))
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

absl::Status PgTransaction::MarkTokenUsed(const std::string& token_id, const std::string& sensor_id) {
  ASSIGN_OR_RETURN(const pqxx::result used,
                   Execute("use an enrollment token",
                           "UPDATE enrollment_tokens SET used_at = now(), used_by_sensor_id = $2::uuid"
                           " WHERE id = $1::uuid AND used_at IS NULL AND revoked_at IS NULL",
                           token_id, sensor_id));
  return used.affected_rows() == 0 ? TokenUsed() : absl::OkStatus();
}

absl::Status PgTransaction::RevokeToken(const std::string& token_id) {
  ASSIGN_OR_RETURN(const pqxx::result revoked,
                   Execute("revoke an enrollment token",
                           "UPDATE enrollment_tokens SET revoked_at = coalesce(revoked_at, now())"
                           " WHERE id = $1::uuid AND used_at IS NULL",
                           token_id));
  return revoked.affected_rows() == 0 ? TokenAlreadyUsed(token_id) : absl::OkStatus();
}

}  // namespace bulkhead::controlplane
