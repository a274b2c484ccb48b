// The rotation of the certificate authority: when a root is added and when one is retired.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

std::string RootTarget(const PublicRoot& root) {
  return absl::StrCat("certificate-authority/", root.fingerprint_hex.substr(0, 16));
}

std::vector<PublicRoot> InUse(const std::vector<PublicRoot>& roots) {
  std::vector<PublicRoot> used;
  for (const PublicRoot& root : roots) {
    if (!root.retired) used.push_back(root);
  }
  return used;
}

}  // namespace

absl::StatusOr<RotationStatus> GetRotation(Transaction& tx) {
  RotationStatus status;
  ASSIGN_OR_RETURN(status.roots, tx.ListRoots(/*lock=*/false));
  const std::vector<PublicRoot> used = InUse(status.roots);
  status.running = used.size() > 1;
  if (!used.empty()) {
    ASSIGN_OR_RETURN(status.progress, tx.GetRotationProgress(used.back().fingerprint_hex));
  }
  return status;
}

absl::Status CheckMayRotate(Transaction& tx, bool lock) {
  ASSIGN_OR_RETURN(const std::vector<PublicRoot> roots, tx.ListRoots(lock));
  return InUse(roots).size() > 1 ? RotationRunning() : absl::OkStatus();
}

absl::Status BeginRotation(Transaction& tx, const OrderContext& context, const PublicRoot& current,
                           const PublicRoot& successor) {
  RETURN_IF_ERROR(CheckMayRotate(tx, /*lock=*/true));
  ASSIGN_OR_RETURN(const std::vector<PublicRoot> roots, tx.ListRoots(/*lock=*/false));
  // Before the first rotation the table is empty: the root that all replicas have on disk comes first.
  if (roots.empty()) RETURN_IF_ERROR(tx.InsertRoot(current));
  RETURN_IF_ERROR(tx.InsertRoot(successor));
  JsonObject details;
  details.Add("follows", current.fingerprint_hex).Add("fingerprint", successor.fingerprint_hex);
  return Audit(tx, context, "ca_rotation_begun", RootTarget(successor), false, details);
}

absl::Status FinishRotation(Transaction& tx, const OrderContext& context, bool force) {
  ASSIGN_OR_RETURN(const std::vector<PublicRoot> roots, tx.ListRoots(/*lock=*/true));
  const std::vector<PublicRoot> used = InUse(roots);
  if (used.size() < 2) return NoRotation();
  const PublicRoot& successor = used.back();
  ASSIGN_OR_RETURN(const RotationProgress progress, tx.GetRotationProgress(successor.fingerprint_hex));
  std::vector<std::string> replicas;
  for (const ReplicaStanding& replica : progress.replicas) {
    if (replica.issuer_hex != successor.fingerprint_hex) replicas.push_back(replica.name);
  }
  if (!force && (!progress.sensors.empty() || !replicas.empty())) {
    return RotationUnconfirmed(progress.sensors, replicas);
  }
  for (const PublicRoot& root : used) {
    if (root.fingerprint_hex != successor.fingerprint_hex) RETURN_IF_ERROR(tx.RetireRoot(root.fingerprint_hex));
  }
  JsonObject details;
  details.Add("fingerprint", successor.fingerprint_hex).AddBool("forced", force);
  details.Add("sensors_left_behind", uint64_t{progress.sensors.size()});
  return Audit(tx, context, "ca_rotation_finished", RootTarget(successor), false, details);
}

}  // namespace bulkhead::controlplane::orders
