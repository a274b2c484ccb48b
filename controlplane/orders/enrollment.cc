// Enrollment tokens, and the enrollment of a host with one.
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/desired_state_digest.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/labels.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

constexpr size_t kSecretBytes = 32;
// A prefix that secret scanners can look for in repositories and logs.
constexpr char kSecretPrefix[] = "bhe_";

std::string TokenTarget(const std::string& token_id) {
  return absl::StrCat("enrollment-token/", token_id);
}

absl::Status CheckUsable(const EnrollmentToken& token, absl::Time now) {
  if (token.state == TokenState::kUsed) return TokenUsed();
  if (token.state == TokenState::kRevoked) return TokenRevoked();
  if (token.state == TokenState::kExpired || token.expires_at <= now) return TokenExpired(token.expires_at);
  return absl::OkStatus();
}

absl::StatusOr<Sensor> MakeSensor(Transaction& tx, const std::string& name, const Labels& labels, absl::Time now) {
  RETURN_IF_ERROR(ValidateSensorName("name", name));
  const absl::Status taken = tx.GetSensor(name, /*lock=*/false).status();
  if (taken.ok()) return SensorNameTaken(name);
  if (!absl::IsNotFound(taken)) return taken;
  Sensor sensor;
  sensor.id = NewUuid();
  sensor.name = name;
  sensor.desired_digest = DesiredStateDigest(sensor.id, {}, IsolationRulesDigest({}));
  sensor.enrolled_at = now;
  sensor.labels = labels;
  RETURN_IF_ERROR(tx.InsertSensor(sensor));
  return sensor;
}

// Trust comes back; id, name and policies were never gone. Certificates from before end here, whoever holds them.
absl::StatusOr<Sensor> RestoreSensor(Transaction& tx, const std::string& sensor_id) {
  ASSIGN_OR_RETURN(Sensor sensor, tx.GetSensor(sensor_id, /*lock=*/true));
  RETURN_IF_ERROR(tx.RevokeCertificates(sensor.id));
  RETURN_IF_ERROR(tx.SetTrust(sensor.id, Trust::kTrusted));
  return sensor;
}

}  // namespace

absl::StatusOr<TokenCreated> CreateToken(Transaction& tx, const OrderContext& context, const std::string& label,
                                         absl::Duration ttl, const std::string& reenroll_sensor,
                                         const Labels& sensor_labels, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateText("label", label, kMaxLabelBytes));
  RETURN_IF_ERROR(ValidateLabels("sensor_labels", sensor_labels));
  if (!sensor_labels.empty() && !reenroll_sensor.empty()) {
    return InvalidField("sensor_labels", "must be empty with reenroll_sensor; that sensor keeps the labels it has");
  }
  ASSIGN_OR_RETURN(ttl, ValidateTokenTtl(ttl));
  TokenCreated out;
  EnrollmentToken token;
  token.id = NewUuid();
  token.label = label;
  token.created_at = now;
  token.created_by = context.actor;
  token.expires_at = now + ttl;
  JsonObject details;
  details.AddIfSet("label", label).AddIfSet("sensor_labels", LabelsText(sensor_labels));
  token.sensor_labels = sensor_labels;
  if (!reenroll_sensor.empty()) {
    RETURN_IF_ERROR(ValidateSensorReference("reenroll_sensor", reenroll_sensor));
    ASSIGN_OR_RETURN(const Sensor restored, tx.GetSensor(reenroll_sensor, /*lock=*/true));
    token.reenroll_sensor_id = restored.id;
    details.Add("reenroll_sensor_id", restored.id).Add("reenroll_sensor", restored.name);
  }
  out.secret = absl::StrCat(kSecretPrefix, ToBase64Url(RandomBytes(kSecretBytes)));
  RETURN_IF_ERROR(tx.InsertToken(token, out.secret));
  RETURN_IF_ERROR(Audit(tx, context, "enrollment_token_created", TokenTarget(token.id), false, details));
  ASSIGN_OR_RETURN(out.token, tx.GetToken(token.id));
  return out;
}

absl::StatusOr<EnrollmentToken> RevokeToken(Transaction& tx, const OrderContext& context, const std::string& token_id) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateUuid("id", token_id));
  ASSIGN_OR_RETURN(const EnrollmentToken before, tx.GetToken(token_id));
  RETURN_IF_ERROR(tx.RevokeToken(token_id));
  const bool unchanged = before.state == TokenState::kRevoked;
  JsonObject details;
  details.AddIfSet("label", before.label);
  RETURN_IF_ERROR(Audit(tx, context, "enrollment_token_revoked", TokenTarget(token_id), unchanged, details));
  return tx.GetToken(token_id);
}

absl::StatusOr<Sensor> Enroll(Transaction& tx, const std::string& secret, const std::string& name, absl::Time now) {
  absl::StatusOr<EnrollmentToken> token = tx.FindTokenBySecret(secret);
  if (absl::IsNotFound(token.status())) return TokenUnknown();
  RETURN_IF_ERROR(token.status());
  RETURN_IF_ERROR(CheckUsable(*token, now));
  const bool restores = !token->reenroll_sensor_id.empty();
  ASSIGN_OR_RETURN(const Sensor sensor, restores ? RestoreSensor(tx, token->reenroll_sensor_id)
                                                 : MakeSensor(tx, name, token->sensor_labels, now));
  RETURN_IF_ERROR(tx.MarkTokenUsed(token->id, sensor.id));
  OrderContext context;
  context.actor = absl::StrCat("sensor:", sensor.name);
  JsonObject details;
  details.Add("name", sensor.name).Add("token_id", token->id).AddIfSet("token_label", token->label);
  details.AddIfSet("labels", LabelsText(token->sensor_labels)).AddBool("restored", restores);
  RETURN_IF_ERROR(Audit(tx, context, "sensor_enrolled", SensorTarget(sensor.id), false, details));
  return tx.GetSensor(sensor.id, /*lock=*/false);
}

}  // namespace bulkhead::controlplane::orders
