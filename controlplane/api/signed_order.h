// Signed orders: what a statement says, whether it may be given, and how it is given.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/order_approval_service.pb.h"
#include "bulkhead/v1/order_statement.pb.h"
#include "common/order_keys.h"
#include "controlplane/api/api_context.h"

namespace bulkhead::controlplane {

// What was signed. InvalidField for what no sensor would take; OrderExpired.
absl::StatusOr<v1::OrderStatement> ReadStatement(const v1::SignedOrder& order, absl::Time now);

OrderKind KindOf(const v1::OrderStatement& statement);

// PermissionDenied when the actor's role may not order this.
absl::Status CheckRole(Transaction& tx, const OrderContext& context, const v1::OrderStatement& statement);

// InvalidField when a signature is there twice or, where the keys are known here, is not one of an operator's key.
absl::Status CheckSignatures(const ApiContext& api, const v1::SignedOrder& order);

// How many operators must sign it, as far as is known here: at least 1. As on the sensors, an order in place of another
// needs as many as lifting it.
absl::StatusOr<uint32_t> SignaturesRequired(const ApiContext& api, Transaction& tx,
                                            const v1::OrderStatement& statement);

// How many operators have signed it; where the keys are not known here, how many keys.
uint32_t SignersOf(const ApiContext& api, const v1::SignedOrder& order);

// Orders what was signed at every sensor of the statement, and fills in the results.
absl::Status GiveSignedOrder(const ApiContext& api, Transaction& tx, OrderContext context, bool allow_degraded,
                             const v1::SignedOrder& order, const v1::OrderStatement& statement,
                             v1::OrderProposal* results);

}  // namespace bulkhead::controlplane
