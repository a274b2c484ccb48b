// Enrollment tokens, and the enrollment of a host with one.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

// From one of the token's networks. An address that is not known is in none.
bool ComesFrom(const std::vector<IpPrefix>& networks, const std::string& address) {
  if (networks.empty()) return true;
  const absl::StatusOr<IpPrefix> host = IpPrefix::Parse(address);
  return host.ok() && std::any_of(networks.begin(), networks.end(),
                                  [&](const IpPrefix& network) { return network.Contains(*host); });
}

absl::Status CheckUsable(const EnrollmentToken& token, const std::string& address, absl::Time now) {
  if (token.state == TokenState::kUsed) return TokenUsed();
  if (token.state == TokenState::kRevoked) return TokenRevoked();
  if (token.state == TokenState::kExpired || token.expires_at <= now) return TokenExpired(token.expires_at);
  if (!ComesFrom(token.allowed_networks, address)) return TokenNetwork(address);
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
  // The other host that had the identity has it no more.
  if (sensor.clone_suspected_at) RETURN_IF_ERROR(tx.ClearCloneSuspicion(sensor.id));
  return sensor;
}

absl::Status CheckOrder(const TokenOrder& order) {
  RETURN_IF_ERROR(ValidateText("label", order.label, kMaxLabelBytes));
  RETURN_IF_ERROR(ValidateLabels("sensor_labels", order.sensor_labels));
  if (order.reenroll_sensor.empty()) return absl::OkStatus();
  if (!order.sensor_labels.empty()) {
    return InvalidField("sensor_labels", "must be empty with reenroll_sensor; that sensor keeps the labels it has");
  }
  if (order.max_uses > 1) return InvalidField("max_uses", "must be 1 with reenroll_sensor; a sensor is one host");
  return absl::OkStatus();
}

std::string NetworksText(const std::vector<IpPrefix>& networks) {
  return absl::StrJoin(networks, ", ", [](std::string* out, const IpPrefix& network) { *out += network.ToString(); });
}

}  // namespace

absl::StatusOr<TokenCreated> CreateToken(Transaction& tx, const OrderContext& context, const TokenOrder& order,
                                         absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(CheckOrder(order));
  ASSIGN_OR_RETURN(const absl::Duration ttl, ValidateTokenTtl(order.ttl));
  TokenCreated out;
  EnrollmentToken token;
  token.id = NewUuid();
  token.label = order.label;
  token.created_at = now;
  token.created_by = context.actor;
  token.expires_at = now + ttl;
  token.sensor_labels = order.sensor_labels;
  token.allowed_networks = order.allowed_networks;
  ASSIGN_OR_RETURN(token.max_uses, ValidateTokenUses(order.max_uses));
  JsonObject details;
  details.AddIfSet("label", token.label).AddIfSet("sensor_labels", LabelsText(token.sensor_labels));
  details.Add("max_uses", uint64_t{token.max_uses}).AddIfSet("allowed_networks", NetworksText(token.allowed_networks));
  if (!order.reenroll_sensor.empty()) {
    RETURN_IF_ERROR(ValidateSensorReference("reenroll_sensor", order.reenroll_sensor));
    ASSIGN_OR_RETURN(const Sensor restored, tx.GetSensor(order.reenroll_sensor, /*lock=*/true));
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

absl::StatusOr<Sensor> Enroll(Transaction& tx, const std::string& secret, const std::string& name,
                              const std::string& address, absl::Time now) {
  absl::StatusOr<EnrollmentToken> token = tx.FindTokenBySecret(secret);
  if (absl::IsNotFound(token.status())) return TokenUnknown();
  RETURN_IF_ERROR(token.status());
  RETURN_IF_ERROR(CheckUsable(*token, address, now));
  const bool restores = !token->reenroll_sensor_id.empty();
  ASSIGN_OR_RETURN(const Sensor sensor, restores ? RestoreSensor(tx, token->reenroll_sensor_id)
                                                 : MakeSensor(tx, name, token->sensor_labels, now));
  RETURN_IF_ERROR(tx.UseToken(token->id, {.sensor_id = sensor.id, .sensor_name = sensor.name, .address = address}));
  OrderContext context;
  context.actor = absl::StrCat("sensor:", sensor.name);
  JsonObject details;
  details.Add("name", sensor.name).Add("token_id", token->id).AddIfSet("token_label", token->label);
  details.AddIfSet("labels", LabelsText(token->sensor_labels)).AddBool("restored", restores);
  details.AddIfSet("address", address);
  RETURN_IF_ERROR(Audit(tx, context, "sensor_enrolled", SensorTarget(sensor.id), false, details));
  return tx.GetSensor(sensor.id, /*lock=*/false);
}

}  // namespace bulkhead::controlplane::orders
