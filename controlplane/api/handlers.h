// The two shapes of handler: one that reads, and one that carries out an order once, in one transaction.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/api/api_context.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {

// Adds an operator's RPC that only reads.
template <typename Request, typename Response>
void AddRead(const ApiContext& api, MethodTable& table, const std::string& path,
             std::function<absl::StatusOr<Response>(const ApiContext&, const Request&)> handler) {
  table.Add(
      path,
      {.access = Access::kOperator,
       .unary = Unary<Request, Response>([api, handler = std::move(handler)](const Caller&, const Request& request) {
         return handler(api, request);
       }),
       .stream = nullptr,
       .workers = api.workers});
}

// Who orders, and the safeguards that the request carries. InvalidArgument names the field.
template <typename Request>
absl::StatusOr<OrderContext> ContextOf(const Caller& caller, const Request& request) {
  OrderContext context{.actor = caller.name, .request_id = request.request_id(), .reason = {}, .etag = {}};
  context.call_id = caller.request_id;
  if constexpr (requires { request.reason(); }) context.reason = request.reason();
  if constexpr (requires { request.etag(); }) context.etag = request.etag();
  RETURN_IF_ERROR(ValidateOrderContext(context));
  return context;
}

// What two calls with the same request_id are compared by.
template <typename Request>
std::string Fingerprint(const std::string& path, const Request& request) {
  return absl::StrCat(path, "\n", SerializeDeterministically(request));
}

template <typename Request, typename Response>
using OrderHandler =
    std::function<absl::StatusOr<Response>(const ApiContext&, Transaction&, const OrderContext&, const Request&)>;

// Adds an operator's RPC that changes something. The handler may run more than once (the transaction is retried), so it
// must do nothing but what the transaction undoes.
template <typename Request, typename Response>
void AddOrder(const ApiContext& api, MethodTable& table, const std::string& path,
              OrderHandler<Request, Response> handler) {
  const auto run = [api, path, handler = std::move(handler)](const Caller& caller,
                                                             const Request& request) -> absl::StatusOr<Response> {
    ASSIGN_OR_RETURN(const OrderContext context, ContextOf(caller, request));
    ASSIGN_OR_RETURN(
        const std::string answer,
        api.store->RunOrder(context, Fingerprint(path, request), [&](Transaction& tx) -> absl::StatusOr<std::string> {
          ASSIGN_OR_RETURN(const Response response, handler(api, tx, context, request));
          return response.SerializeAsString();
        }));
    Response response;
    if (!response.ParseFromString(answer))
      return absl::InternalError(absl::StrCat("stored answer of ", path, " is unreadable"));
    return response;
  };
  table.Add(
      path,
      {.access = Access::kOperator, .unary = Unary<Request, Response>(run), .stream = nullptr, .workers = api.workers});
}

}  // namespace bulkhead::controlplane
