// Whatever comes in whatever order (orders, rules, DNS answers, restarts, outages), the sensor is not locked out: with
// the control plane up and no trial running, a wall that was proved lets a new connection to it through.
#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <random>

#include "harness/fake_datapath.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "sensor/app/enforcer.h"
#include "sensor/link/resolver.h"
#include "sensor/store/address_store.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
const HostPort kName{"cp.example.net", 8443};
constexpr char kTrueAddress[] = "192.0.2.1";

// The host and its network. What survives a restart of the sensor is here.
struct World {
  test::TempDir dir;
  test::FakeDatapath kernel;
  DesiredStateStore states{dir.path()};
  AddressStore addresses{dir.path()};
  std::vector<std::string> dns = {kTrueAddress};
  bool control_plane_up = true;
  bool wall_swallows = false;  // packets go to another address than the one that was resolved, such as by NAT
  uint64_t generation = 0;

  static bool Has(const std::vector<ControlPlaneEndpoint>& endpoints) {
    const ControlPlaneEndpoint wanted{*IpPrefix::Parse(kTrueAddress), kName.port};
    return std::find(endpoints.begin(), endpoints.end(), wanted) != endpoints.end();
  }
  bool WallLetsThrough() const {
    if (!kernel.state().has_wall()) return true;
    return !wall_swallows && Has(kernel.endpoints());
  }
};

// One life of a sensor: the same parts as the real one, without threads.
class Life {
 public:
  explicit Life(World* world) : world_(world), enforcer_(&world->kernel, &world->states) {
    const auto known = world->addresses.Load();
    REQUIRE_OK(known);
    hosts_ = *known;
    resolver_ = std::make_unique<Resolver>(hosts_, [world](const std::string&) {
      std::vector<IpPrefix> answer;
      for (const std::string& address : world->dns) answer.push_back(*IpPrefix::Parse(address));
      return answer;
    });
    if (!hosts_.empty()) REQUIRE_OK(world->kernel.SetControlPlane(EndpointsOf(hosts_)));
    enforcer_.Restore();
    enforcer_.StartProofsWith([this](uint64_t ticket) { proof_ = ticket; });
  }

  bool Reachable() const {
    return world_->control_plane_up && World::Has(EndpointsOf(hosts_)) && world_->WallLetsThrough();
  }

  void Connect() {
    connected_ = false;
    std::vector<ResolvedHost> resolved = resolver_->Resolve({kName}, absl::Seconds(10));
    if (resolved.empty()) return;
    if (resolved != hosts_) enforcer_.AddressesChanged();
    hosts_ = std::move(resolved);
    REQUIRE_OK(world_->kernel.SetControlPlane(EndpointsOf(hosts_)));
    enforcer_.ResumeTrial();
    REQUIRE_OK(world_->addresses.Save(hosts_));
    connected_ = Reachable();
    if (!connected_) return;
    resolver_->MarkWorking(kName, {*IpPrefix::Parse(kTrueAddress), kName.port});
    enforcer_.Reached(kTrueAddress);
  }

  // Over the stream: a wall that swallows everything also swallows what the stream carries.
  void Order(const DesiredState& state) {
    if (!connected_ || !Reachable()) return;
    const absl::Status accepted = enforcer_.Accept(state, {kSensor, {}, !hosts_.empty(), true});
    INFO(accepted);
    CHECK(accepted.ok());
  }

  void EndProof() {
    if (proof_ == 0) return;
    const uint64_t ticket = std::exchange(proof_, 0);
    // An outage that hides what the wall does makes a proof worthless; nobody can tell the two apart.
    const bool reachable = Reachable();
    blind_ = !reachable && (blind_ || !world_->control_plane_up);
    enforcer_.ProofEnded({ticket, {reachable ? Reachability::kConnected : Reachability::kSilent, "simulated"}});
    if (!enforcer_.on_trial() && !world_->kernel.state().has_wall()) blind_ = false;
  }

  bool on_trial() const { return enforcer_.on_trial(); }
  bool blind() const { return blind_; }
  void set_blind(bool blind) { blind_ = blind; }

 private:
  World* const world_;
  Enforcer enforcer_;
  std::unique_ptr<Resolver> resolver_;
  std::vector<ResolvedHost> hosts_;
  bool connected_ = false;
  bool blind_ = false;  // the wall in force was committed while the control plane was away
  uint64_t proof_ = 0;
};

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  int Roll(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(engine_); }

 private:
  std::mt19937 engine_;
};

DesiredState RandomOrder(Dice& dice, uint64_t generation) {
  DesiredState state{kSensor, generation};
  state.digest[0] = static_cast<uint8_t>(generation);
  state.digest[1] = static_cast<uint8_t>(generation >> 8);
  const auto action = [&dice] { return dice.Roll(4) == 0 ? PolicyAction::kNotify : PolicyAction::kDeny; };
  const std::string id = std::to_string(generation);
  if (dice.Roll(2) == 0) {
    state.policies.push_back({"c" + id, "contain", PolicyTemplate::kNetworkContainment, action()});
  }
  if (dice.Roll(3) == 0) {
    // It may hold the sensor, or what carries its connection.
    state.policies.push_back({"s" + id, "scoped", PolicyTemplate::kNetworkContainment, action()});
    state.policies.back().scope = PolicyScope{PolicyScope::Kind::kCgroup, "/system.slice"};
  }
  if (dice.Roll(2) == 0) {
    state.policies.push_back({"i" + id, "isolate", PolicyTemplate::kNetworkIsolation, action()});
    for (int i = dice.Roll(3); i > 0; --i) {
      IsolationRule rule;
      rule.id = std::to_string(i);
      rule.first_port = rule.last_port = static_cast<uint16_t>(1 + dice.Roll(65535));
      state.isolation_rules.push_back(rule);
    }
  }
  return state;
}

void RunSequence(unsigned seed) {
  static const std::vector<std::vector<std::string>> kAnswers = {
      {kTrueAddress}, {}, {"203.0.113.66"}, {"203.0.113.66", kTrueAddress}, {"203.0.113.67", "203.0.113.68"}};
  INFO("seed " << seed);
  Dice dice(seed);
  World world;
  auto life = std::make_unique<Life>(&world);
  life->Connect();
  for (int step = 0; step < 60; ++step) {
    switch (dice.Roll(8)) {
      case 0:
      case 1:
        life->Order(RandomOrder(dice, ++world.generation));
        break;
      case 2:
        world.dns = kAnswers[static_cast<size_t>(dice.Roll(static_cast<int>(kAnswers.size())))];
        break;
      case 3:
        world.control_plane_up = !world.control_plane_up;
        break;
      case 4: {
        const bool blind = life->blind();
        life = std::make_unique<Life>(&world);
        life->set_blind(blind);
        break;
      }
      case 5:
        // The network may change its mind only while there is no wall: nobody can prove the future.
        if (!world.kernel.state().has_wall() && !life->on_trial()) world.wall_swallows = !world.wall_swallows;
        break;
      case 6:
        life->Connect();
        break;
      default:
        life->EndProof();
    }
    if (life->on_trial() || life->blind() || !world.control_plane_up) continue;
    life->Connect();
    life->EndProof();
    life->EndProof();
    if (life->on_trial()) continue;
    INFO("step " << step);
    REQUIRE(life->Reachable());
  }
}

TEST_CASE("no sequence of orders, rules, DNS answers, outages and restarts locks the sensor out") {
  for (unsigned seed = 1; seed <= 25; ++seed) RunSequence(seed);
}

}  // namespace
}  // namespace bulkhead::sensor
