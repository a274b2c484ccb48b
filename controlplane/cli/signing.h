// Orders that an operator signs on this machine, with a key that the control plane never sees.
#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "CLI/App.hpp"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/order_approval_service.pb.h"
#include "bulkhead/v1/order_statement.pb.h"
#include "bulkhead/v1/signed_order.pb.h"
#include "common/order_signature.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

struct SignFlags {
  std::string key_file;
  std::string passphrase_file;
  absl::Duration valid_for;       // zero: the order's standard
  std::string out_file;           // not empty: sign only, and write the signed order here
  std::vector<std::string> also;  // further sensors of the same statement
  bool given() const { return !key_file.empty(); }
};

// --sign-key and what goes with it, and --yes.
void AddSignFlags(CLI::App& verb, SignFlags& sign, OrderFlags& order);
// The two flags that name a key.
void AddSignKeyFlags(CLI::App& verb, SignFlags& sign);

// Reads the key; asks for its passphrase when a person is there and no file was given.
absl::StatusOr<OrderSigningKey> ReadSigningKey(Session& session, const SignFlags& sign);

// Shows what the statement says, read back from the bytes that will be signed, and asks.
absl::Status ShowAndConfirm(Session& session, const OrderFlags& order, const std::string& statement,
                            const std::string& name);

// Signs `statement`, in which only the order is set, for `sensor` and the further ones, and submits it, or writes it to
// a file. Waits if asked.
absl::Status SignAndSubmit(Session& session, const SignFlags& sign, const OrderFlags& order, bool allow_degraded,
                           const std::string& sensor, v1::OrderStatement statement);

// Submits what is signed, prints what came of it, and waits if asked.
absl::Status SubmitSigned(Session& session, const OrderFlags& order, bool allow_degraded,
                          const v1::SignedOrder& signed_order);
// The end of a call that may have completed a proposal.
absl::Status ReportProposal(Session& session, const OrderFlags& order, const google::protobuf::Message& response,
                            const v1::OrderProposal& proposal);

// A proposal in full, and all of a list in a table.
std::string RenderProposal(const v1::OrderProposal& proposal);
std::string RenderProposals(const v1::ListOrderProposalsResponse& proposals, absl::Time now);

// A file with a signed order, as JSON.
absl::Status WriteSignedOrder(const std::string& path, const v1::SignedOrder& order);
absl::StatusOr<v1::SignedOrder> ReadSignedOrder(const std::string& path);

// What an order for a policy asks for, written as the control plane stores it: a lease becomes a moment, a default what
// it stands for.
template <typename Request>
v1::EnforcementPolicy ContentOf(const Request& request, v1::PolicyTemplate policy_template, v1::PolicyAction standard,
                                absl::Time now) {
  v1::EnforcementPolicy policy;
  policy.set_template_(policy_template);
  policy.set_action(request.action() == v1::POLICY_ACTION_UNSPECIFIED ? standard : request.action());
  if constexpr (requires { request.scope(); }) {
    if (request.has_scope()) *policy.mutable_scope() = request.scope();
  }
  if constexpr (requires { request.on_unreachable(); }) {
    const bool hold = request.on_unreachable() == v1::ON_UNREACHABLE_HOLD;
    policy.set_on_unreachable(hold ? v1::ON_UNREACHABLE_HOLD : v1::ON_UNREACHABLE_ROLL_BACK);
  }
  if constexpr (requires { request.binary(); }) {
    *policy.mutable_block_binary() = request.binary();
    policy.mutable_block_binary()->set_forced(request.force());
  }
  if constexpr (requires { request.allow_list(); }) {
    std::vector<v1::AllowedBinary> binaries(request.allow_list().binaries().begin(),
                                            request.allow_list().binaries().end());
    const auto key = [](const v1::AllowedBinary& binary) { return std::tie(binary.path(), binary.sha256()); };
    std::sort(binaries.begin(), binaries.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
    const auto end =
        std::unique(binaries.begin(), binaries.end(), [&](const auto& a, const auto& b) { return key(a) == key(b); });
    policy.mutable_allow_list()->set_learn(request.allow_list().learn());
    for (auto it = binaries.begin(); it != end; ++it) *policy.mutable_allow_list()->add_binaries() = *it;
  }
  if (request.has_lease()) {
    const v1::Lease& lease = request.lease();
    const int64_t end =
        lease.has_until() ? lease.until().seconds() : absl::ToUnixSeconds(now) + lease.duration().seconds();
    policy.mutable_expires_at()->set_seconds(end);
    policy.set_on_expiry(lease.on_expiry());
  }
  return policy;
}

}  // namespace bulkhead::controlplane::cli
