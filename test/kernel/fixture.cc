// A datapath on a cgroup and two network namespaces of its own.
#include "kernel/fixture.h"

#include <netinet/in.h>

#include <stdexcept>

#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/pins.h"

namespace bulkhead::sensor {
namespace {

using test::Accept;
using test::At;
using test::Connect;
using test::kHost4;
using test::kHost6;
using test::kPeer4;
using test::kPeer6;
using test::Listen;
using test::SocketFactory;

Connection Join(const SocketFactory& from, const SocketFactory& to, const std::string& ip, uint16_t port) {
  Connection made;
  const test::Address address = At(ip, port);
  made.listener = to.Socket(address.family(), SOCK_STREAM);
  made.client = from.Socket(address.family(), SOCK_STREAM);
  REQUIRE(Listen(made.listener, address) == 0);
  REQUIRE(Connect(made.client, address, test::kMustComeMillis) == 0);
  made.server = Accept(made.listener);
  REQUIRE(made.server.valid());
  return made;
}

}  // namespace

Policy Containment(PolicyAction action) {
  return {kContainId, "network-containment", PolicyTemplate::kNetworkContainment, action, ""};
}

Policy Isolation(PolicyAction action) {
  return {kIsolateId, "network-isolation", PolicyTemplate::kNetworkIsolation, action, ""};
}

Policy Block(const std::string& path, PolicyAction action, const std::string& id) {
  return {id, "bulkhead-block-binary-test", PolicyTemplate::kBlockBinary, action, path};
}

IsolationRule Rule(const std::string& remote, uint16_t first, uint16_t last, uint8_t protocol, Direction direction) {
  IsolationRule rule;
  rule.id = "rule";
  if (!remote.empty()) rule.remote = IpPrefix::Parse(remote).value();
  rule.first_port = first;
  rule.last_port = last;
  rule.protocol = protocol;
  rule.direction = direction;
  return rule;
}

DesiredState State(std::vector<Policy> policies, std::vector<IsolationRule> rules) {
  static uint64_t generation = 0;
  DesiredState state;
  state.sensor_id = "00000000-0000-4000-8000-000000000000";
  state.generation = ++generation;
  state.digest.fill(static_cast<uint8_t>(generation));
  state.policies = std::move(policies);
  state.isolation_rules = std::move(rules);
  return state;
}

uint64_t CounterOf(const ObservedState& observed, const std::string& name) {
  for (const Counter& counter : observed.counters) {
    if (counter.name == name) return counter.value;
  }
  throw std::runtime_error("no counter " + name);
}

CgroupFixture::CgroupFixture(bool with_network) {
  if (with_network) net_.emplace(cgroup_);
  options_.scope = cgroup_.path();
  Open();
}

CgroupFixture::~CgroupFixture() {
  datapath_.reset();
  RemoveDatapath(options_).IgnoreError();
}

void CgroupFixture::Open() {
  absl::StatusOr<std::unique_ptr<Datapath>> opened = OpenDatapath(options_);
  REQUIRE_OK(opened);
  datapath_ = std::move(*opened);
}

std::string CgroupFixture::pins() const {
  return PinDirectory(options_.bpffs, options_.pin_key, ResolveScope(options_.scope).value()).value();
}

bool CgroupFixture::Has(const std::string& mechanism) const {
  for (const Mechanism& known : datapath_->capabilities().mechanisms) {
    if (known.name != mechanism) continue;
    if (!known.available) WARN("not on this kernel: " << mechanism << ": " << known.reason);
    return known.available;
  }
  throw std::runtime_error("no mechanism " + mechanism);
}

void CgroupFixture::Apply(std::vector<Policy> policies, std::vector<IsolationRule> rules) {
  REQUIRE_OK(datapath_->Apply(State(std::move(policies), std::move(rules))));
}

ObservedState CgroupFixture::Observe() {
  absl::StatusOr<ObservedState> observed = datapath_->Observe();
  REQUIRE_OK(observed);
  return *std::move(observed);
}

Connection NetFixture::Outbound(bool v6, uint16_t port) const {
  return Join(host(), peer(), v6 ? kPeer6 : kPeer4, port);
}

Connection NetFixture::Inbound(bool v6, uint16_t port) const {
  return Join(peer(), host(), v6 ? kHost6 : kHost4, port);
}

bool NetFixture::Passes(const UniqueFd& from, const UniqueFd& to) {
  if (test::Send(from, "ping") != 0) return false;
  return test::Receive(to, test::kMustNotComeMillis) == "ping";
}

UniqueFd NetFixture::Udp(const SocketFactory& where, const std::string& ip, uint16_t port) {
  const test::Address address = At(ip, port);
  UniqueFd fd = where.Socket(address.family(), SOCK_DGRAM);
  REQUIRE(test::Bind(fd, address) == 0);
  return fd;
}

}  // namespace bulkhead::sensor
