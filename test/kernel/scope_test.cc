// Walls with a scope: several at once, each about its own cgroup, following it when it goes and comes.
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernel/fixture.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::CgroupSandbox;
using test::Connect;
using test::kHost4;
using test::kMustComeMillis;
using test::kMustNotComeMillis;
using test::kPeer4;
using test::Listen;
using test::Receive;
using test::SendTo;
using test::SocketFactory;
using test::WaitFor;

// A cgroup below the sensor's scope, with a source of sockets that share the host's network namespace.
struct Place {
  Place(const NetFixture& fixture, const std::string& name)
      : cgroup(absl::StrCat(fixture.cgroup().path(), "/", name)), sockets(&cgroup, &fixture.host()) {}

  CgroupSandbox cgroup;
  SocketFactory sockets;
};

class ScopeFixture : public NetFixture {
 public:
  ScopeFixture() : listener_(peer().Socket(AF_INET, SOCK_STREAM)), sink_(Udp(peer(), kPeer4, 7401)) {
    REQUIRE(Listen(listener_, At(kPeer4, 7400)) == 0);
  }

  // As a policy names the cgroup `name` below the sensor's scope.
  std::string PathOf(const std::string& name) const {
    return absl::StrCat(ResolveScope(options().scope).value().relative, "/", name);
  }
  Policy In(Policy policy, const std::string& name) const {
    policy.id = IdIn(policy, name);
    policy.scope = PolicyScope{PolicyScope::Kind::kCgroup, PathOf(name)};
    return policy;
  }
  static std::string IdIn(const Policy& policy, const std::string& name) { return absl::StrCat(policy.id, "/", name); }

  // Does a datagram of `from` reach the peer?
  bool Reaches(const SocketFactory& from) const { return Reaches(from.Socket(AF_INET, SOCK_DGRAM)); }
  bool Reaches(const UniqueFd& udp) const {
    while (!Receive(sink_, 0).empty()) {
    }
    if (SendTo(udp, "out", At(kPeer4, 7401)) != 0) return false;
    return Receive(sink_, kMustComeMillis) == "out";
  }
  // Does a datagram of the peer reach a socket of `to`?
  bool IsReached(const SocketFactory& to, uint16_t port) const {
    const UniqueFd udp = Udp(to, kHost4, port);
    const UniqueFd from = peer().Socket(AF_INET, SOCK_DGRAM);
    if (SendTo(from, "in", At(kHost4, port)) != 0) return false;
    return Receive(udp, kMustNotComeMillis) == "in";
  }
  // The exit status (or -SIGKILL) of a process of `place` that connects by TCP: 0 or an errno.
  int Dial(const Place& place) const {
    const UniqueFd fd = place.sockets.Socket(AF_INET, SOCK_STREAM);
    const test::Address to = At(kPeer4, 7400);
    const int status = WaitFor(place.cgroup.Fork([&] { return Connect(fd, to, kMustComeMillis); }));
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  ObservedPolicy Observed(const std::string& policy_id) {
    for (const ObservedPolicy& policy : Observe().policies) {
      if (policy.policy_id == policy_id) return policy;
    }
    FAIL("no policy " << policy_id);
    return {};
  }
  // One round of upkeep; how many scopes moved.
  size_t Maintain() {
    REQUIRE_OK(datapath().Maintain());
    return datapath().TakeScopeMoves().size();
  }

 private:
  UniqueFd listener_;
  UniqueFd sink_;
};

TEST_CASE_METHOD(ScopeFixture, "two scopes at once: one contained, one isolated, one free", "[scope]") {
  const Place contained(*this, "contained"), isolated(*this, "isolated"), open(*this, "open");
  for (const Place* place : {&contained, &isolated, &open}) {
    CHECK(Reaches(place->sockets));
    CHECK(IsReached(place->sockets, 7410));
  }
  const Policy contain = In(Containment(), "contained"), isolate = In(Isolation(), "isolated");
  Apply({contain, isolate});
  CHECK_FALSE(Reaches(contained.sockets));
  CHECK(IsReached(contained.sockets, 7411));
  CHECK_FALSE(Reaches(isolated.sockets));
  CHECK_FALSE(IsReached(isolated.sockets, 7412));
  CHECK(Reaches(open.sockets));
  CHECK(IsReached(open.sockets, 7413));
  CHECK(Reaches(host()));
  const ObservedState observed = Observe();
  CHECK_FALSE(observed.contained);
  CHECK_FALSE(observed.isolated);
  CHECK(observed.scoped_wall);
  CHECK(Observed(contain.id).hits == 1);
  CHECK(Observed(isolate.id).hits >= 2);
  CHECK(Observed(isolate.id).scope_cgroup == PathOf("isolated"));
  CHECK(Observed(isolate.id).degraded.empty());
  Apply({isolate});
  CHECK(Reaches(contained.sockets));
  CHECK_FALSE(Reaches(isolated.sockets));
}

TEST_CASE_METHOD(ScopeFixture, "the strictest wall that covers a socket judges it", "[scope]") {
  const Place outer(*this, "outer"), inner(*this, "outer/inner");
  const Policy isolate = In(Isolation(), "outer/inner"), contain = In(Containment(), "outer");
  const std::vector<IsolationRule> to_sink = {Rule(kPeer4, 7401, 7401, 17, Direction::kOutbound)};
  Apply({contain, isolate}, to_sink);
  CHECK_FALSE(Reaches(outer.sockets));
  CHECK(IsReached(outer.sockets, 7420));
  CHECK(Reaches(inner.sockets));  // isolation goes before containment, with its rules
  CHECK_FALSE(IsReached(inner.sockets, 7421));
  // The whole scope of the sensor is isolated: what a part of it has is not stricter.
  const uint64_t hits = Observed(contain.id).hits;
  Apply({Isolation(), contain});
  CHECK_FALSE(IsReached(outer.sockets, 7422));
  CHECK_FALSE(IsReached(host(), 7423));
  CHECK_FALSE(Reaches(outer.sockets));
  CHECK(Observed(contain.id).hits == hits);
}

TEST_CASE_METHOD(ScopeFixture, "a shadow of a scope counts there only, and beside an enforced wall", "[scope]") {
  const Place place(*this, "place"), other(*this, "other");
  const Policy shadow = In(Isolation(PolicyAction::kNotify), "place");
  Apply({shadow});
  CHECK(Reaches(place.sockets));
  CHECK(Reaches(other.sockets));
  CHECK(Observed(shadow.id).hits == 1);
  REQUIRE(Observed(shadow.id).would_cut.size() == 1);
  CHECK(Observed(shadow.id).would_cut[0].port == 7401);
  CHECK_FALSE(Observe().scoped_wall);
  Apply({shadow, Containment()});
  CHECK_FALSE(Reaches(place.sockets));
  CHECK(IsReached(place.sockets, 7430));
  CHECK(Observed(kContainId).hits == 1);
  CHECK(Observed(shadow.id).hits >= 2);
}

TEST_CASE_METHOD(ScopeFixture, "who connects from a scope is refused at once, or killed, and nobody else", "[scope]") {
  const Place place(*this, "place"), other(*this, "other");
  CHECK(Dial(place) == 0);
  if (Has("cgroup_connect")) {
    Apply({In(Containment(), "place")});
    CHECK(Dial(place) == EPERM);
    CHECK(Dial(other) == 0);
    CHECK(Observed(IdIn(Containment(), "place")).hits == 1);
  }
  Apply({In(Containment(PolicyAction::kSigkill), "place"), In(Containment(), "other")});
  const bool kills = Observed(IdIn(Containment(), "place")).degraded.empty();
  if (kills) CHECK(Dial(place) == -SIGKILL);
  CHECK(Dial(other) == EPERM);
  CHECK(Observed(IdIn(Containment(), "other")).hits == 1);
}

TEST_CASE_METHOD(ScopeFixture, "a socket belongs to the cgroup that made it, wherever it and its process go",
                 "[scope]") {
  const Place place(*this, "place"), other(*this, "other");
  const UniqueFd before = place.sockets.Socket(AF_INET, SOCK_DGRAM);
  Apply({In(Isolation(), "place")});
  CHECK_FALSE(Reaches(before));  // this test, which is in no scope, sends
  std::ofstream(other.cgroup.path() + "/cgroup.procs") << place.sockets.pid() << std::flush;
  CHECK_FALSE(Reaches(before));
  // What docs/security.md says: a process that root moved out makes free sockets.
  CHECK(Reaches(place.sockets));
}

TEST_CASE_METHOD(ScopeFixture, "connections of a scope are destroyed, those of others live on", "[scope]") {
  const Place place(*this, "place");
  const Connection free = Outbound(false, 7440);
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(listener, At(kPeer4, 7441)) == 0);
  const UniqueFd held = place.sockets.Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Connect(held, At(kPeer4, 7441), kMustComeMillis) == 0);
  Apply({In(Containment(), "place")});
  CHECK(Passes(free.client, free.server));
  CHECK(test::Send(held, "x") != 0);
  if (Has("sock_destroy")) CHECK(Observe().receipt.sockets_destroyed == 1);
}

TEST_CASE_METHOD(ScopeFixture, "a scope that is made after the order is walled when it appears", "[scope]") {
  const Policy isolate = In(Isolation(), "later");
  Apply({isolate});
  CHECK(Observed(isolate.id).scope_cgroup.empty());
  CHECK_THAT(Observed(isolate.id).degraded, Catch::Contains("there is no cgroup " + PathOf("later")));
  CHECK_FALSE(Observe().scoped_wall);
  CHECK(Maintain() == 0);
  const uint64_t repairs = Observe().drift_repairs;
  const Place later(*this, "later");
  CHECK(Reaches(later.sockets));
  CHECK(Maintain() == 1);
  CHECK_FALSE(Reaches(later.sockets));
  CHECK(Observed(isolate.id).scope_cgroup == PathOf("later"));
  CHECK(Observed(isolate.id).degraded.empty());
  CHECK(Observe().drift_repairs == repairs);
  CHECK(Maintain() == 0);
}

TEST_CASE_METHOD(ScopeFixture, "a scope that is made anew is walled again, and a socket that survives it stays cut",
                 "[scope]") {
  std::optional<Place> place(std::in_place, *this, "place");
  const UniqueFd survivor = place->sockets.Socket(AF_INET, SOCK_DGRAM);
  const Policy isolate = In(Isolation(), "place");
  Apply({isolate});
  const uint64_t generation = Observe().receipt.generation;
  place.reset();
  CHECK(Maintain() == 1);
  CHECK(Observed(isolate.id).scope_cgroup.empty());
  CHECK_FALSE(Reaches(survivor));
  place.emplace(*this, "place");
  CHECK(Reaches(place->sockets));
  const absl::Time since = Observe().receipt.enforced_at;
  CHECK(Maintain() == 1);
  CHECK_FALSE(Reaches(place->sockets));
  CHECK(Observed(isolate.id).scope_cgroup == PathOf("place"));
  CHECK(Observe().receipt.generation == generation);
  CHECK(Observe().receipt.enforced_at == since);
}

TEST_CASE_METHOD(ScopeFixture, "units and containers are found by name", "[scope]") {
  const std::string id(64, 'b');
  const Place unit(*this, absl::StrCat("bulkhead-test-", getpid(), ".service")),
      container(*this, "docker-" + id + ".scope");
  Policy of_unit = Containment(), of_container = Isolation();
  of_unit.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, absl::StrCat("bulkhead-test-", getpid(), ".service")};
  of_container.scope = PolicyScope{PolicyScope::Kind::kContainer, id.substr(0, 12)};
  Apply({of_unit, of_container});
  CHECK_FALSE(Reaches(unit.sockets));
  CHECK(IsReached(unit.sockets, 7450));
  CHECK_FALSE(IsReached(container.sockets, 7451));
  CHECK(Reaches(host()));
}

TEST_CASE_METHOD(ScopeFixture, "an ambiguous scope, or one outside, is refused; later ambiguity lifts nothing",
                 "[scope]") {
  Policy isolate = Isolation();
  isolate.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, "bulkhead-twin.service"};
  std::optional<Place> first(std::in_place, *this, "bulkhead-twin.service");
  const DesiredState state = State({isolate});
  REQUIRE_OK(FirstRefusal(state, State({})));
  REQUIRE_OK(datapath().Apply(state));
  const Place nest(*this, "nest"), second(*this, "nest/bulkhead-twin.service");
  const absl::Status refused = FirstRefusal(State({isolate}), State({}));
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()), Catch::Contains("is ambiguous"));
  REQUIRE_OK(FirstRefusal(State({isolate}), state));
  CHECK(Maintain() == 0);
  REQUIRE_OK(datapath().Apply(State({isolate})));
  CHECK_FALSE(Reaches(first->sockets));
  CHECK(Reaches(second.sockets));

  Policy outside = Isolation();
  outside.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/elsewhere"};
  CHECK_CODE(FirstRefusal(State({outside}), State({})), kFailedPrecondition);
}

TEST_CASE_METHOD(ScopeFixture, "probes knock from inside each scope, and say where they did not", "[scope][prove]") {
  const Place place(*this, "place"), frozen(*this, "frozen");
  Apply({In(Isolation(), "place"), In(Containment(), "absent"), In(Containment(), "frozen")});
  std::ofstream(frozen.cgroup.path() + "/cgroup.freeze") << "1" << std::flush;
  int passed = 0, not_there = 0;
  for (const ActiveProbe& probe : datapath().Prove()) {
    INFO(probe.name << ": " << probe.detail);
    if (absl::StrContains(probe.detail, PathOf("place"))) {
      CHECK((probe.passed || !probe.required));
      passed += probe.passed;
    } else {
      CHECK_FALSE(probe.passed);
      CHECK_FALSE(probe.required);
      CHECK((absl::StrContains(probe.detail, "not probed") || absl::StrContains(probe.detail, "it is frozen")));
      ++not_there;
    }
  }
  std::ofstream(frozen.cgroup.path() + "/cgroup.freeze") << "0" << std::flush;
  CHECK(passed >= 1);
  CHECK(not_there == 2);
}

TEST_CASE_METHOD(ScopeFixture, "each scope has a lease of its own, which the kernel ends", "[scope][lease]") {
  const Place brief(*this, "brief"), lasting(*this, "lasting");
  Policy ends = In(Isolation(), "brief");
  ends.expires_at = absl::Now() + absl::Seconds(3);
  Apply({ends, In(Isolation(), "lasting")});
  CHECK_FALSE(Reaches(brief.sockets));
  absl::SleepFor(*ends.expires_at - absl::Now() + absl::Milliseconds(100));
  CHECK(Reaches(brief.sockets));
  CHECK_FALSE(Reaches(lasting.sockets));
  CHECK(Observed(ends.id).expired);
  for (const ActiveProbe& probe : datapath().Prove()) CHECK_THAT(probe.detail, Catch::Contains(PathOf("lasting")));
  CHECK_FALSE(Observed(IdIn(Isolation(), "lasting")).expired);
}

TEST_CASE_METHOD(ScopeFixture, "a scope that holds the sensor leaves it its control plane and nothing else",
                 "[scope]") {
  Crash();
  const Place unit(*this, "unit"), own(*this, "unit/sensor");
  DatapathOptions with_sensor = options();
  with_sensor.sensor_cgroup = own.cgroup.path();
  auto opened = OpenDatapath(with_sensor);
  REQUIRE_OK(opened);
  REQUIRE_OK((*opened)->SetControlPlane({{IpPrefix::Parse(kPeer4).value(), 8443}}));
  REQUIRE_OK((*opened)->Apply(State({In(Isolation(), "unit")})));
  const UniqueFd control = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(control, At(kPeer4, 8443)) == 0);
  const UniqueFd link = own.sockets.Socket(AF_INET, SOCK_STREAM);
  CHECK(WaitFor(own.cgroup.Fork([&] { return Connect(link, At(kPeer4, 8443), kMustComeMillis); })) == 0);
  const UniqueFd accepted = test::Accept(control);
  REQUIRE(accepted.valid());
  CHECK(Passes(link, accepted));
  CHECK_FALSE(Reaches(own.sockets));
  CHECK_FALSE(Reaches(unit.sockets));
  CHECK(Reaches(host()));
}

TEST_CASE_METHOD(ScopeFixture, "walls with a scope outlive the sensor, and another unit of the name lifts none",
                 "[scope]") {
  Crash();  // first, so that the places' processes do not inherit its lock
  const Place nest(*this, "nest"), place(*this, "bulkhead-adopt.service"), twin(*this, "nest/bulkhead-adopt.service");
  Open();
  Policy isolate = Isolation();
  isolate.scope = PolicyScope{PolicyScope::Kind::kCgroup, PathOf("bulkhead-adopt.service")};
  Apply({isolate});
  Crash();
  CHECK_FALSE(Reaches(place.sockets));
  CHECK(Reaches(host()));
  Open();
  CHECK_FALSE(Reaches(place.sockets));
  CHECK(Observe().scoped_wall);
  CHECK_FALSE(Observed(isolate.id).mechanisms.empty());
  // The same order, named in a way that has become ambiguous: what the kernel has is kept.
  isolate.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, "bulkhead-adopt.service"};
  Apply({isolate});
  CHECK(Observed(isolate.id).scope_cgroup == PathOf("bulkhead-adopt.service"));
  CHECK_FALSE(Reaches(place.sockets));
  CHECK(Reaches(twin.sockets));
  Apply({});
  CHECK(Reaches(place.sockets));
}

}  // namespace
}  // namespace bulkhead::sensor
