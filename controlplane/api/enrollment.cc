// EnrollmentService: tokens, and the exchange of a token for an identity.
#include "bulkhead/v1/enrollment.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxSecretBytes = 256;
constexpr size_t kMaxRequestBytes = 16 << 10;

absl::Status CheckEnrollRequest(const v1::EnrollRequest& request) {
  if (request.token().empty()) return InvalidField("token", "must not be empty; ask an admin for an enrollment token");
  if (request.token().size() > kMaxSecretBytes) return InvalidField("token", "is too long to be an enrollment token");
  if (request.certificate_request().empty() || request.certificate_request().size() > kMaxRequestBytes) {
    return InvalidField("certificate_request", "must be a PKCS#10 request in DER of at most 16 KiB");
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::EnrollResponse> Enroll(const ApiContext& api, const Caller& caller,
                                          const v1::EnrollRequest& request) {
  RETURN_IF_ERROR(CheckEnrollRequest(request));
  v1::EnrollResponse response;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    const absl::Time now = api.clock->Now();
    ASSIGN_OR_RETURN(const Sensor sensor, orders::Enroll(tx, request.token(), request.name(), caller.address, now));
    // In the same transaction: a request that cannot be signed leaves the token unused.
    ASSIGN_OR_RETURN(
        const IssuedCertificate issued,
        api.authority->SignSensorRequest(request.certificate_request(), sensor.id, now, api.certificate_life));
    RETURN_IF_ERROR(tx.InsertCertificate(issued.RecordFor(sensor.id)));
    response.set_trust_bundle_pem(issued.trust_bundle_pem);
    response.set_sensor_id(sensor.id);
    response.set_name(sensor.name);
    response.set_certificate_chain_pem(issued.chain_pem);
    return absl::OkStatus();
  }));
  return response;
}

// Not an AddOrder: the secret is in the first answer and must not be in the stored one.
absl::StatusOr<v1::CreateEnrollmentTokenResponse> CreateToken(const ApiContext& api, const Caller& caller,
                                                              const v1::CreateEnrollmentTokenRequest& request,
                                                              const std::string& path) {
  ASSIGN_OR_RETURN(const OrderContext context, ContextOf(caller, request));
  orders::TokenOrder order{.label = request.label(),
                           .ttl = FromProto(request.ttl()),
                           .reenroll_sensor = request.reenroll_sensor(),
                           .sensor_labels = LabelsOf(request.sensor_labels()),
                           .max_uses = request.max_uses(),
                           .allowed_networks = {}};
  const std::vector<std::string> networks(request.allowed_networks().begin(), request.allowed_networks().end());
  ASSIGN_OR_RETURN(order.allowed_networks, ParseNetworks("allowed_networks", networks));
  std::string secret;
  ASSIGN_OR_RETURN(
      const std::string answer,
      api.store->RunOrder(context, Fingerprint(path, request), [&](Transaction& tx) -> absl::StatusOr<std::string> {
        ASSIGN_OR_RETURN(const orders::TokenCreated created, orders::CreateToken(tx, context, order, api.clock->Now()));
        secret = created.secret;
        v1::CreateEnrollmentTokenResponse stored;
        *stored.mutable_token() = ToProto(created.token);
        return stored.SerializeAsString();
      }));
  v1::CreateEnrollmentTokenResponse response;
  if (!response.ParseFromString(answer))
    return absl::InternalError("stored answer of CreateEnrollmentToken is unreadable");
  response.set_secret(secret);
  return response;
}

absl::StatusOr<v1::ListEnrollmentTokensResponse> ListTokens(const ApiContext& api,
                                                            const v1::ListEnrollmentTokensRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  Page<EnrollmentToken> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListTokens(page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListEnrollmentTokensResponse response;
  for (const EnrollmentToken& token : page.items) *response.add_tokens() = ToProto(token);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::ListEnrollmentTokenUsesResponse> ListTokenUses(const ApiContext& api,
                                                                  const v1::ListEnrollmentTokenUsesRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  Page<EnrollmentTokenUse> page;
  RETURN_IF_ERROR(api.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListTokenUses(request.id(), page_size, request.page_token()));
    return absl::OkStatus();
  }));
  v1::ListEnrollmentTokenUsesResponse response;
  for (const EnrollmentTokenUse& use : page.items) {
    v1::EnrollmentTokenUse& proto = *response.add_uses();
    proto.set_sensor_id(use.sensor_id);
    proto.set_sensor_name(use.sensor_name);
    *proto.mutable_used_at() = ToProto(use.used_at);
    proto.set_address(use.address);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::RevokeEnrollmentTokenResponse> RevokeToken(const ApiContext&, Transaction& tx,
                                                              const OrderContext& context,
                                                              const v1::RevokeEnrollmentTokenRequest& request) {
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  ASSIGN_OR_RETURN(const EnrollmentToken token, orders::RevokeToken(tx, context, request.id()));
  v1::RevokeEnrollmentTokenResponse response;
  *response.mutable_token() = ToProto(token);
  return response;
}

}  // namespace

void AddEnrollmentMethods(const ApiContext& api, MethodTable& table) {
  table.Add(
      "/bulkhead.v1.EnrollmentService/Enroll",
      {.access = Access::kAnyone,
       .unary = Unary<v1::EnrollRequest, v1::EnrollResponse>(
           [api](const Caller& caller, const v1::EnrollRequest& request) { return Enroll(api, caller, request); }),
       .stream = nullptr,
       .workers = api.workers});
  const std::string create = "/bulkhead.v1.EnrollmentService/CreateEnrollmentToken";
  table.Add(create, {.access = Access::kOperator,
                     .unary = Unary<v1::CreateEnrollmentTokenRequest, v1::CreateEnrollmentTokenResponse>(
                         [api, create](const Caller& caller, const v1::CreateEnrollmentTokenRequest& request) {
                           return CreateToken(api, caller, request, create);
                         }),
                     .stream = nullptr,
                     .workers = api.workers});
  AddRead<v1::ListEnrollmentTokensRequest, v1::ListEnrollmentTokensResponse>(
      api, table, "/bulkhead.v1.EnrollmentService/ListEnrollmentTokens", ListTokens);
  AddRead<v1::ListEnrollmentTokenUsesRequest, v1::ListEnrollmentTokenUsesResponse>(
      api, table, "/bulkhead.v1.EnrollmentService/ListEnrollmentTokenUses", ListTokenUses);
  AddOrder<v1::RevokeEnrollmentTokenRequest, v1::RevokeEnrollmentTokenResponse>(
      api, table, "/bulkhead.v1.EnrollmentService/RevokeEnrollmentToken", RevokeToken);
}

}  // namespace bulkhead::controlplane
