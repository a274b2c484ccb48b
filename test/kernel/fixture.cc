// A datapath on a cgroup and two network namespaces of its own.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
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

// The namespaces' processes are forked before the datapath is opened: they must not inherit its lock.
struct SharedHost {
  SharedHost() { options.scope = cgroup.path(); }
  ~SharedHost() {
    datapath.reset();
    RemoveDatapath(options).IgnoreError();
  }

  test::CgroupSandbox cgroup;
  test::NetSandbox net{cgroup};
  DatapathOptions options;
  std::unique_ptr<Datapath> datapath;
};

std::unique_ptr<SharedHost>& SharedPointer() {
  static std::unique_ptr<SharedHost> host;
  return host;
}

SharedHost& Shared() {
  if (SharedPointer() == nullptr) SharedPointer() = std::make_unique<SharedHost>();
  return *SharedPointer();
}

// Before main returns: after it, libraries that the clean-up needs are gone.
struct CleanUp : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunEnded(const Catch::TestRunStats&) override { SharedPointer().reset(); }
};
CATCH_REGISTER_LISTENER(CleanUp)

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

CgroupFixture::CgroupFixture() {
  if (Shared().datapath == nullptr) Open();
  Apply({});
  datapath().DrainEvents(100000);
}

void CgroupFixture::Crash() {
  Shared().datapath.reset();
}

void CgroupFixture::Open() {
  absl::StatusOr<std::unique_ptr<Datapath>> opened = OpenDatapath(options());
  REQUIRE_OK(opened);
  Shared().datapath = std::move(*opened);
}

Datapath& CgroupFixture::datapath() const {
  return *Shared().datapath;
}

const test::CgroupSandbox& CgroupFixture::cgroup() const {
  return Shared().cgroup;
}

const test::NetSandbox& CgroupFixture::net() const {
  return Shared().net;
}

const DatapathOptions& CgroupFixture::options() const {
  return Shared().options;
}

std::string CgroupFixture::scope_pins() const {
  return PinDirectory(options().bpffs, options().pin_key, ResolveScope(options().scope).value()).value();
}

std::string CgroupFixture::pins() const {
  return LayoutDirectory(scope_pins());
}

bool CgroupFixture::Has(const std::string& mechanism) const {
  for (const Mechanism& known : datapath().capabilities().mechanisms) {
    if (known.name != mechanism) continue;
    if (!known.available) WARN("not on this kernel: " << mechanism << ": " << known.reason);
    return known.available;
  }
  throw std::runtime_error("no mechanism " + mechanism);
}

void CgroupFixture::Apply(std::vector<Policy> policies, std::vector<IsolationRule> rules) {
  REQUIRE_OK(datapath().Apply(State(std::move(policies), std::move(rules))));
  datapath().DestroyForbidden();
}

absl::Status CgroupFixture::FirstRefusal(const DesiredState& state, const DesiredState& in_force) {
  const std::vector<Refusal> refusals = datapath().Refusals(state, in_force);
  return refusals.empty() ? absl::OkStatus() : absl::FailedPreconditionError(refusals.front().reason);
}

ObservedState CgroupFixture::Observe() {
  absl::StatusOr<ObservedState> observed = datapath().Observe();
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
