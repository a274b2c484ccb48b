// Root against the frame wall: packet, XDP, vsock and other foreign sockets, old ones too, and tun devices.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

#include "common/unique_fd.h"
#include "sensor/kernel/frames/frame_wall.h"
#include "test/guard/rule_set_fixture.h"

namespace bulkhead::sensor {
namespace {

// 0, or the errno of socket(2).
int TrySocket(int family, int type, int protocol = 0) {
  const UniqueFd fd(socket(family, type | SOCK_CLOEXEC, protocol));
  return fd.valid() ? 0 : errno;
}

UniqueFd PacketSocket() {
  return UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
}

// A frame of a protocol that nobody handles, onto the loopback device. 0 or errno.
int SendFrame(int fd) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = 1;
  to.sll_protocol = htons(0x88b5);
  to.sll_halen = ETH_ALEN;
  char frame[64] = {};
  return sendto(fd, frame, sizeof(frame), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)) < 0 ? errno : 0;
}

int Receive(int fd) {
  char buffer[2048];
  return recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) < 0 ? errno : 0;
}

int TryTun(short mode) {
  const UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  REQUIRE(fd.valid());
  ifreq request{};
  request.ifr_flags = mode;
  return ioctl(fd.get(), TUNSETIFF, &request) == 0 ? 0 : errno;
}

std::map<std::string, uint64_t> Counters(const FrameWall& wall) {
  const auto counters = wall.Counters();
  REQUIRE(counters.ok());
  std::map<std::string, uint64_t> values;
  for (const Counter& counter : *counters) values[counter.name] = counter.value;
  return values;
}

struct Wall {
  Wall() {
    auto opened = FrameWall::Open(rules.directory());
    INFO(opened.status());
    REQUIRE(opened.ok());
    wall = *std::move(opened);
    rules.SetScope("/sys/fs/cgroup", 0);
  }
  RuleSetFixture rules;
  std::unique_ptr<FrameWall> wall;
};

}  // namespace

TEST_CASE("frames: without a wall every socket works") {
  Wall host;
  CHECK(PacketSocket().valid());
  host.rules.Publish(BH_WALL_OFF, BH_WALL_OFF);
  CHECK(PacketSocket().valid());
  CHECK(TryTun(IFF_TUN | IFF_NO_PI) == 0);
}

TEST_CASE("frames: behind isolation no family is left that cgroup_skb does not see") {
  Wall host;
  host.rules.Publish(BH_WALL_OFF, BH_WALL_ENFORCE);
  for (int family = 0; family < 46; ++family) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
      INFO("family " << family << " type " << type);
      const bool seen = family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK ||
                        family == AF_KEY || family == AF_ALG;
      if (!seen) CHECK(TrySocket(family, type) == EPERM);
    }
  }
  CHECK(TrySocket(AF_INET, SOCK_STREAM, 256) == EPERM);
  CHECK(TrySocket(AF_INET, SOCK_STREAM) == 0);
  CHECK(TrySocket(AF_INET6, SOCK_DGRAM) == 0);
  CHECK(TrySocket(AF_UNIX, SOCK_STREAM) == 0);
  CHECK(TrySocket(AF_NETLINK, SOCK_RAW) == 0);
  CHECK(Counters(*host.wall)["frames_denied_socket"] > 100);
}

TEST_CASE("frames: a packet socket opened before the order is cut, with and without the queue") {
  Wall host;
  const UniqueFd plain = PacketSocket(), bypass = PacketSocket();
  const int on = 1;
  REQUIRE(setsockopt(bypass.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) == 0);
  REQUIRE(SendFrame(plain.get()) == 0);
  REQUIRE(SendFrame(bypass.get()) == 0);

  host.rules.Publish(BH_WALL_ENFORCE, BH_WALL_OFF);
  CHECK(SendFrame(plain.get()) == EPERM);
  CHECK(SendFrame(bypass.get()) == EPERM);
  CHECK(Receive(plain.get()) == 0);  // containment lets in what arrives

  host.rules.Publish(BH_WALL_OFF, BH_WALL_ENFORCE);
  CHECK(SendFrame(plain.get()) == EPERM);
  CHECK(Receive(plain.get()) == EPERM);
  CHECK(Counters(*host.wall)["frames_denied_send"] == 3);
  CHECK(Counters(*host.wall)["frames_denied_receive"] == 1);

  host.rules.Publish(BH_WALL_OFF, BH_WALL_OFF);
  CHECK(SendFrame(plain.get()) == 0);
}

TEST_CASE("frames: no tun or tap device behind a wall") {
  Wall host;
  host.rules.Publish(BH_WALL_ENFORCE, BH_WALL_OFF);
  CHECK(TryTun(IFF_TUN | IFF_NO_PI) == EPERM);
  CHECK(TryTun(IFF_TAP | IFF_NO_PI) == EPERM);
  CHECK(Counters(*host.wall)["frames_denied_tun_device"] == 2);
}

TEST_CASE("frames: a shadow wall counts and lets pass") {
  Wall host;
  host.rules.Publish(BH_WALL_OFF, BH_WALL_SHADOW);
  CHECK(PacketSocket().valid());
  CHECK(Counters(*host.wall)["frames_would_deny_shadow"] == 1);
}

TEST_CASE("frames: a published set that cannot be read denies") {
  Wall host;
  host.rules.PublishNothing();
  CHECK_FALSE(PacketSocket().valid());
  CHECK(Counters(*host.wall)["frames_fail_no_rule_set"] == 1);
  host.rules.Withdraw();
  CHECK(PacketSocket().valid());
}

TEST_CASE("frames: in a scope only its processes are judged") {
  Wall host;
  const std::string cgroup = "/sys/fs/cgroup/frames-test";
  REQUIRE(mkdir(cgroup.c_str(), 0755) == 0);
  host.rules.SetScope(cgroup, 1);
  host.rules.Publish(BH_WALL_OFF, BH_WALL_ENFORCE);
  CHECK(PacketSocket().valid());
  const pid_t child = fork();
  if (child == 0) {
    std::ofstream(cgroup + "/cgroup.procs") << "0";
    _exit(TrySocket(AF_PACKET, SOCK_RAW) == EPERM && TrySocket(AF_INET, SOCK_DGRAM) == 0 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(rmdir(cgroup.c_str()) == 0);
}

TEST_CASE("frames: the wall outlives the object that made it, and a second one takes over") {
  Wall host;
  host.rules.Publish(BH_WALL_OFF, BH_WALL_ENFORCE);
  host.wall.reset();
  CHECK_FALSE(PacketSocket().valid());
  auto again = FrameWall::Open(host.rules.directory());
  REQUIRE(again.ok());
  CHECK((*again)->programs().size() == 6);
  CHECK_FALSE(PacketSocket().valid());
  CHECK(Counters(**again)["frames_denied_socket"] == 2);
  REQUIRE(FrameWall::Remove(host.rules.directory()).ok());
  again->reset();
  // The kernel lets go of a link a grace period after its last pin.
  bool lifted = false;
  for (int tries = 0; tries < 100 && !lifted; ++tries) {
    usleep(50000);
    lifted = PacketSocket().valid();
  }
  CHECK(lifted);
}

TEST_CASE("frames: switching ftrace off is noticed") {
  Wall host;
  REQUIRE(host.wall->Prove().ok());
  std::ofstream("/proc/sys/kernel/ftrace_enabled") << "0";
  CHECK(host.wall->Prove().code() == absl::StatusCode::kFailedPrecondition);
  std::ofstream("/proc/sys/kernel/ftrace_enabled") << "1";
  CHECK(host.wall->Prove().ok());
}

}  // namespace bulkhead::sensor
