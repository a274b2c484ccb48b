// status, rotate-begin, rotate-finish.
#include "controlplane/app/ca_commands.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/app/command_store.h"
#include "controlplane/app/database.h"
#include "controlplane/app/stored_roots.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kShownDigits = 16;

struct Opened {
  std::unique_ptr<Database> database;
  std::unique_ptr<Store> store;
  std::unique_ptr<CertificateAuthority> authority;
};

absl::StatusOr<Opened> Open(const Options& options) {
  Opened out;
  ASSIGN_OR_RETURN(out.authority, CertificateAuthority::Open(CaDirectory(options)));
  ASSIGN_OR_RETURN(out.database, Database::Attach(options.postgres));
  ASSIGN_OR_RETURN(out.store, OpenStore(options, *out.database));
  return out;
}

// Who is root on a replica's machine has no name here.
OrderContext ContextOf(const Options& options) {
  OrderContext context;
  context.actor = orders::kSystemActor;
  context.reason = options.reason;
  return context;
}

void PrintNames(const char* what, const std::vector<std::string>& names) {
  std::cout << what << names.size() << "\n";
  for (const std::string& name : names) std::cout << "  " << name << "\n";
}

void Print(const orders::RotationStatus& status) {
  std::cout << "rotation: " << (status.running ? "running" : "none") << "\n";
  for (const PublicRoot& root : status.roots) {
    std::cout << "root " << root.fingerprint_hex.substr(0, kShownDigits)
              << (root.retired                    ? "  retired"
                  : &root == &status.roots.back() ? "  current"
                                                  : "  to be retired")
              << "\n";
  }
  if (status.roots.empty()) return;
  for (const ReplicaStanding& replica : status.progress.replicas) {
    std::cout << "replica " << replica.name << " issues from " << replica.issuer_hex.substr(0, kShownDigits) << "\n";
  }
  PrintNames("sensors that have not confirmed a certificate of the current root: ", status.progress.sensors);
  PrintNames("operators without a certificate of it (issue-operator): ", status.progress.operators);
}

}  // namespace

absl::Status PrintCaStatus(const Options& options) {
  ASSIGN_OR_RETURN(const Opened opened, Open(options));
  orders::RotationStatus status;
  RETURN_IF_ERROR(opened.store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(status, orders::GetRotation(tx));
    return absl::OkStatus();
  }));
  Print(status);
  return absl::OkStatus();
}

absl::Status BeginCaRotation(const Options& options) {
  ASSIGN_OR_RETURN(const Opened opened, Open(options));
  // Before a key is made that nobody would use.
  RETURN_IF_ERROR(opened.store->Run([](Transaction& tx) { return orders::CheckMayRotate(tx, /*lock=*/false); }));
  RETURN_IF_ERROR(FollowStoredRoots(*opened.store, *opened.authority));
  const PublicRoot current = opened.authority->current_root();
  ASSIGN_OR_RETURN(const PublicRoot successor, opened.authority->MakeSuccessor(absl::Now()));
  RETURN_IF_ERROR(opened.store->Run(
      [&](Transaction& tx) { return orders::BeginRotation(tx, ContextOf(options), current, successor); }));
  std::cout << "root " << successor.fingerprint_hex.substr(0, kShownDigits)
            << " is trusted beside the one before\nnow: copy " << CaDirectory(options) << "/root-"
            << successor.fingerprint_hex.substr(0, kShownDigits)
            << " to every other replica (mode 0700, key 0600) and back it up; no restart is needed\n"
               "then: bulkhead-controlplane ca status, until no sensor is left; give operators new certificates\n"
               "then: bulkhead-controlplane ca rotate-finish\n";
  return absl::OkStatus();
}

absl::Status FinishCaRotation(const Options& options) {
  ASSIGN_OR_RETURN(const Opened opened, Open(options));
  RETURN_IF_ERROR(opened.store->Run(
      [&](Transaction& tx) { return orders::FinishRotation(tx, ContextOf(options), options.force); }));
  std::cout << "the old root is out of trust; its key can be destroyed\n";
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
