// The orders of a leak run, carried out by the sensor's own datapath.
#include <netinet/in.h>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/domain/datapath.h"
#include "sensor/kernel/kernel.h"
#include "test/leak/probe.h"
#include "test/leak/wall.h"

namespace bulkhead::leak {
namespace {

sensor::DatapathOptions Options(const std::string& scope) {
  sensor::DatapathOptions options;
  options.scope = scope;
  options.pin_key = "leak";
  return options;
}

sensor::IsolationRule AllowedEndpoint(const IpPrefix& peer) {
  sensor::IsolationRule rule;
  rule.id = "allowed-endpoint";
  rule.remote = peer;
  rule.first_port = rule.last_port = kAllowedPort;
  rule.protocol = IPPROTO_TCP;
  rule.direction = sensor::Direction::kOutbound;
  return rule;
}

class BulkheadWall : public Wall {
 public:
  static absl::StatusOr<std::unique_ptr<Wall>> Open(const std::string& scope);
  ~BulkheadWall() override;

  absl::Status Order(const std::string& order) override;
  std::string Layers() const override;

 private:
  explicit BulkheadWall(std::string scope) : scope_(std::move(scope)) {}

  const std::string scope_;
  std::unique_ptr<sensor::Datapath> datapath_;
  uint64_t generation_ = 0;
};

absl::StatusOr<std::unique_ptr<Wall>> BulkheadWall::Open(const std::string& scope) {
  RETURN_IF_ERROR(sensor::RemoveDatapath(Options(scope)));
  std::unique_ptr<BulkheadWall> wall(new BulkheadWall(scope));
  sensor::DatapathOptions options = Options(scope);
  ASSIGN_OR_RETURN(options.sensor_cgroup, sensor::EnterSensorCgroup());
  ASSIGN_OR_RETURN(wall->datapath_, sensor::OpenDatapath(options));
  ASSIGN_OR_RETURN(const IpPrefix peer, IpPrefix::Parse(kPeer4));
  RETURN_IF_ERROR(wall->datapath_->SetControlPlane({{peer, kControlPlanePort}}));
  return std::unique_ptr<Wall>(std::move(wall));
}

BulkheadWall::~BulkheadWall() {
  datapath_.reset();
  const absl::Status removed = sensor::RemoveDatapath(Options(scope_));
  if (!removed.ok()) LogError("the wall of a leak run is still there", {{"error", removed.ToString()}});
}

absl::Status BulkheadWall::Order(const std::string& order) {
  sensor::DesiredState state;
  state.sensor_id = "leak";
  state.generation = ++generation_;
  state.digest[0] = static_cast<uint8_t>(generation_);
  state.digest[1] = 1;
  ASSIGN_OR_RETURN(const IpPrefix peer, IpPrefix::Parse(kPeer4));
  if (order == "contain") {
    state.policies.push_back({"contain", "network-containment", sensor::PolicyTemplate::kNetworkContainment, {}, ""});
  } else if (order == "isolate") {
    state.policies.push_back({"isolate", "network-isolation", sensor::PolicyTemplate::kNetworkIsolation, {}, ""});
    state.isolation_rules.push_back(AllowedEndpoint(peer));
  } else if (order != "open") {
    return absl::InvalidArgumentError(absl::StrCat("order '", order, "': there are open, contain and isolate"));
  }
  for (sensor::Policy& policy : state.policies) policy.action = sensor::PolicyAction::kDeny;
  RETURN_IF_ERROR(datapath_->Maintain().status());  // as the sensor does every second
  const absl::Status applied = datapath_->Apply(state);
  if (applied.ok()) datapath_->DestroyForbidden();
  return applied;
}

std::string BulkheadWall::Layers() const {
  std::string layers;
  for (const sensor::Mechanism& mechanism : datapath_->capabilities().mechanisms) {
    if (mechanism.available) absl::StrAppend(&layers, layers.empty() ? "" : " ", mechanism.name);
  }
  return layers;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Wall>> OpenBulkheadWall(const std::string& scope) {
  return BulkheadWall::Open(scope);
}

}  // namespace bulkhead::leak
