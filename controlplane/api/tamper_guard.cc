// SensorService: lower a sensor's tamper guard, make its offline code.
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/handlers.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::LowerGuardResponse> Lower(const ApiContext& api, Transaction& tx, const OrderContext& context,
                                             const v1::LowerGuardRequest& request) {
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kLowerGuard));
  ASSIGN_OR_RETURN(const Command command,
                   orders::LowerGuard(tx, context, request.sensor(), FromProto(request.duration()),
                                      FromProto(request.ttl()), api.clock->Now()));
  v1::LowerGuardResponse response;
  *response.mutable_command() = ToProto(command);
  return response;
}

// Not an AddOrder: the code is in the first answer and must not be in the stored one.
absl::StatusOr<v1::CreateGuardCodeResponse> CreateCode(const ApiContext& api, const Caller& caller,
                                                       const v1::CreateGuardCodeRequest& request,
                                                       const std::string& path) {
  // Whoever has the code needs no order to lower the guard.
  RETURN_IF_ERROR(CheckMayBeUnsigned(api, OrderKind::kLowerGuard));
  ASSIGN_OR_RETURN(const OrderContext context, ContextOf(caller, request));
  std::string code;
  ASSIGN_OR_RETURN(
      const std::string answer,
      api.store->RunOrder(context, Fingerprint(path, request), [&](Transaction& tx) -> absl::StatusOr<std::string> {
        ASSIGN_OR_RETURN(
            const orders::GuardCodeCreated created,
            orders::CreateGuardCode(tx, context, request.sensor(), FromProto(request.ttl()), api.clock->Now()));
        code = created.code;
        v1::CreateGuardCodeResponse stored;
        *stored.mutable_command() = ToProto(created.command);
        return stored.SerializeAsString();
      }));
  v1::CreateGuardCodeResponse response;
  if (!response.ParseFromString(answer)) return absl::InternalError("stored answer of CreateGuardCode is unreadable");
  response.set_code(code);
  return response;
}

}  // namespace

void AddTamperGuardMethods(const ApiContext& api, MethodTable& table) {
  AddOrder<v1::LowerGuardRequest, v1::LowerGuardResponse>(api, table, "/bulkhead.v1.SensorService/LowerGuard", Lower);
  const std::string create = "/bulkhead.v1.SensorService/CreateGuardCode";
  table.Add(create, {.access = Access::kOperator,
                     .unary = Unary<v1::CreateGuardCodeRequest, v1::CreateGuardCodeResponse>(
                         [api, create](const Caller& caller, const v1::CreateGuardCodeRequest& request) {
                           return CreateCode(api, caller, request, create);
                         }),
                     .stream = nullptr,
                     .workers = api.workers});
}

}  // namespace bulkhead::controlplane
