// Containment: what the host opens is cut, what others open to it lives on.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "kernel/fixture.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::kHost4;
using test::kMustComeMillis;
using test::kMustNotComeMillis;
using test::kPeer4;
using test::kPeer6;
using test::Listen;
using test::Receive;
using test::SendTo;

// An ICMP or ICMPv6 echo request through a raw socket of the host; 0 or the errno.
int SendPing(const test::SocketFactory& host, bool v6) {
  const UniqueFd fd = host.Socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW, v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});
  const char type = v6 ? '\x80' : '\x08';
  return SendTo(fd, std::string(1, type) + std::string(15, '\0'), At(v6 ? kPeer6 : kPeer4, 0));
}

TEST_CASE_METHOD(NetFixture, "containment refuses new TCP, UDP and ICMP of both families", "[contain]") {
  for (const bool v6 : {false, true}) {
    const std::string peer_ip = v6 ? kPeer6 : kPeer4;
    const int family = v6 ? AF_INET6 : AF_INET;
    const UniqueFd listener = peer().Socket(family, SOCK_STREAM);
    REQUIRE(Listen(listener, At(peer_ip, 7000)) == 0);
    const UniqueFd sink = Udp(peer(), peer_ip, 7001);
    const UniqueFd udp = host().Socket(family, SOCK_DGRAM);

    Apply({});
    CHECK(Connect(host().Socket(family, SOCK_STREAM), At(peer_ip, 7000), kMustComeMillis) == 0);
    CHECK(SendTo(udp, "before", At(peer_ip, 7001)) == 0);
    CHECK(Receive(sink, kMustComeMillis) == "before");
    CHECK(SendPing(host(), v6) == 0);

    Apply({Containment()});
    CHECK(Connect(host().Socket(family, SOCK_STREAM), At(peer_ip, 7000)) == EPERM);
    CHECK(SendTo(udp, "after", At(peer_ip, 7001)) == EPERM);
    CHECK(Receive(sink, kMustNotComeMillis).empty());
    CHECK(SendPing(host(), v6) == EPERM);

    Apply({});
    CHECK(Connect(host().Socket(family, SOCK_STREAM), At(peer_ip, 7000), kMustComeMillis) == 0);
  }
}

TEST_CASE_METHOD(NetFixture, "containment destroys outbound connections and keeps inbound ones", "[contain]") {
  for (const bool v6 : {false, true}) {
    const Connection out = Outbound(v6, 7100);
    const Connection in = Inbound(v6, 7200);
    const UniqueFd sink = Udp(peer(), v6 ? kPeer6 : kPeer4, 7101);
    const UniqueFd connected = host().Socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
    REQUIRE(Connect(connected, At(v6 ? kPeer6 : kPeer4, 7101)) == 0);
    Apply({Containment()});
    CHECK_FALSE(Passes(out.client, out.server));
    CHECK_FALSE(Passes(connected, sink));
    CHECK(Passes(in.client, in.server));
    CHECK(Passes(in.server, in.client));
    if (Has("sock_destroy")) {
      CHECK(Observe().receipt.sockets_destroyed == 2);
      CHECK(test::Send(out.client, "x") == EPIPE);
    }
    Apply({});
  }
}

// Connects an open socket elsewhere without a handshake, as a checkpointed process is restored.
void Repair(const UniqueFd& fd, const std::string& ip, uint16_t port) {
  const int on = 1;
  REQUIRE(setsockopt(fd.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0);
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  REQUIRE(connect(fd.get(), &nowhere, sizeof(nowhere)) == 0);
  REQUIRE(Connect(fd, At(ip, port)) == 0);
}

// The end of repair sends one segment to the new peer.
void EndRepair(const UniqueFd& fd) {
  const int off = 0;
  (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
}

TEST_CASE_METHOD(NetFixture, "a socket that others opened is no way out once it is connected elsewhere", "[contain]") {
  const UniqueFd eavesdropper = peer().Socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
  for (const bool contained : {false, true}) {
    const Connection in = Inbound(false, 7350);
    Repair(in.server, kPeer4, 7351);
    if (contained) Apply({Containment()});
    while (!Receive(eavesdropper, kMustNotComeMillis).empty()) {
    }
    EndRepair(in.server);
    CHECK(Receive(eavesdropper, contained ? kMustNotComeMillis : kMustComeMillis).empty() == contained);
    Apply({});
  }
}

TEST_CASE_METHOD(NetFixture, "a contained host still serves new inbound connections and loopback", "[contain]") {
  Apply({Containment()});
  const Connection in = Inbound(false, 7300);
  CHECK(Passes(in.client, in.server));
  CHECK(Passes(in.server, in.client));
  const UniqueFd listener = host().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(listener, At("127.0.0.1", 7301)) == 0);
  CHECK(Connect(host().Socket(AF_INET, SOCK_STREAM), At("127.0.0.1", 7301), kMustComeMillis) == 0);
}

TEST_CASE_METHOD(NetFixture, "connections older than the sensor keep their direction", "[contain]") {
  Crash();
  REQUIRE_OK(RemoveDatapath(options()));
  const Connection in = Inbound(false, 7400);
  const Connection out = Outbound(false, 7401);
  Open();
  Apply({Containment()});
  CHECK(Passes(in.server, in.client));
  CHECK_FALSE(Passes(out.client, out.server));
}

TEST_CASE_METHOD(NetFixture, "binding a listening port does not make a connection inbound", "[contain]") {
  Apply({Containment()});
  const UniqueFd trick = host().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(test::Bind(trick, At(kHost4, 22)) == 0);
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(listener, At(kPeer4, 7500)) == 0);
  CHECK(Connect(trick, At(kPeer4, 7500)) == EPERM);
}

TEST_CASE_METHOD(NetFixture, "containment in shadow counts and cuts nothing", "[contain]") {
  const uint64_t shadow_before = Counted("shadow_drop");
  const uint64_t drops_before = Counted("drop_egress_contained");
  const Connection out = Outbound(false, 7600);
  Apply({Containment(PolicyAction::kNotify)});
  CHECK(Passes(out.client, out.server));
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(listener, At(kPeer4, 7601)) == 0);
  CHECK(Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 7601), kMustComeMillis) == 0);
  const ObservedState observed = Observe();
  CHECK_FALSE(observed.contained);
  CHECK(observed.receipt.sockets_destroyed == 0);
  CHECK(CounterOf(observed, "shadow_drop") > shadow_before);
  CHECK(CounterOf(observed, "drop_egress_contained") == drops_before);
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].hits > 0);
}

TEST_CASE_METHOD(NetFixture, "SIGKILL containment kills the process that connects", "[contain]") {
  Apply({Containment(PolicyAction::kSigkill)});
  const uint64_t before = Counted("kill_connect");
  const bool can_kill = Has("kprobe_tcp_connect") || Has("fentry_tcp_connect") || Has("tp_inet_sock_set_state");
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(listener, At(kPeer4, 7700)) == 0);
  const UniqueFd socket = host().Socket(AF_INET, SOCK_STREAM);
  const test::Address to = At(kPeer4, 7700);
  const int status = test::WaitFor(cgroup().Fork([&] {
    alarm(5);
    return connect(socket.get(), to.get(), to.size) == 0 ? 0 : errno;
  }));
  CHECK_FALSE(test::Accept(listener, kMustNotComeMillis).valid());
  if (can_kill) {
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    CHECK(Counted("kill_connect") == before + 1);
  } else {
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == EPERM));
    CHECK_FALSE(Observe().policies[0].degraded.empty());
  }
}

TEST_CASE_METHOD(NetFixture, "a refused connection is an event with its process and policy", "[contain]") {
  Apply({Containment()});
  datapath().DrainEvents(1000);
  CHECK(Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 7800)) == EPERM);
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 1);
  CHECK(events[0].kind == EventKind::kConnectDenied);
  CHECK(events[0].policy_id == kContainId);
  CHECK(events[0].pid == static_cast<uint32_t>(getpid()));
  CHECK_THAT(events[0].detail, Catch::Contains("192.0.2.2:7800"));
  CHECK(events[0].uid == getuid());
  CHECK(events[0].parent_pid == static_cast<uint32_t>(getppid()));
  CHECK_FALSE(events[0].parent_comm.empty());
  CHECK(events[0].cgroup == CgroupOfProcess(getpid()).value());
  CHECK(absl::AbsDuration(absl::Now() - events[0].time) < absl::Seconds(10));
  CHECK(datapath().DrainEvents(10).empty());
}

TEST_CASE_METHOD(NetFixture, "the sensor's own sockets reach the control plane and nothing else", "[contain]") {
  Crash();
  DatapathOptions with_sensor = options();
  with_sensor.sensor_cgroup = cgroup().path();
  auto opened = OpenDatapath(with_sensor);
  REQUIRE_OK(opened);
  REQUIRE_OK((*opened)->SetControlPlane({{IpPrefix::Parse(kPeer4).value(), 8443}}));
  REQUIRE_OK((*opened)->Apply(State({Isolation()})));
  const UniqueFd control = peer().Socket(AF_INET, SOCK_STREAM);
  const UniqueFd other = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(control, At(kPeer4, 8443)) == 0);
  REQUIRE(Listen(other, At(kPeer4, 8444)) == 0);
  const UniqueFd link = host().Socket(AF_INET, SOCK_STREAM);
  // connect(2) is judged by the calling process's cgroup, packets by the socket's.
  const test::Address to = At(kPeer4, 8443);
  CHECK(test::WaitFor(cgroup().Fork([&] { return connect(link.get(), to.get(), to.size) == 0 ? 0 : errno; })) == 0);
  const UniqueFd accepted = test::Accept(control);
  REQUIRE(accepted.valid());
  CHECK(Passes(link, accepted));
  CHECK(Passes(accepted, link));
  const UniqueFd astray = host().Socket(AF_INET, SOCK_STREAM);
  const test::Address wrong = At(kPeer4, 8444);
  CHECK(WEXITSTATUS(test::WaitFor(
            cgroup().Fork([&] { return connect(astray.get(), wrong.get(), wrong.size) == 0 ? 0 : errno; }))) == EPERM);
}

}  // namespace
}  // namespace bulkhead::sensor
