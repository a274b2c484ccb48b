// Sockets that work through shared memory: who holds one behind a wall that forbids it is killed, nobody else is.
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

// What a holder does before it sleeps: system calls only; false: it could not.
using Opening = bool (*)();

bool OpenXdp() {
  return socket(AF_XDP, SOCK_RAW, 0) >= 0;
}

bool OpenXdpIfPossible() {
  (void)OpenXdp();
  return true;
}

// The socket belongs to the ring alone.
bool RegisterXdp() {
  io_uring_params parameters{};
  const int ring = static_cast<int>(syscall(SYS_io_uring_setup, 4, &parameters));
  int files[] = {-1, socket(AF_XDP, SOCK_RAW, 0)};
  return ring >= 0 && syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, files, 2) == 0 &&
         close(files[1]) == 0;
}

bool OpenPacketSocket() {
  return socket(AF_PACKET, SOCK_RAW, 0) >= 0;
}

bool OpenPacketRing() {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  tpacket_req ring{};
  ring.tp_block_size = 4096;
  ring.tp_block_nr = 1;
  ring.tp_frame_size = 2048;
  ring.tp_frame_nr = 2;
  return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) == 0;
}

bool OpenRing() {
  io_uring_params parameters{};
  return syscall(SYS_io_uring_setup, 4, &parameters) >= 0;
}

class Holder {
 public:
  Holder(const test::CgroupSandbox& cgroup, Opening open) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    pid_ = cgroup.Fork([&ready, open] {
      if (!open()) return 1;
      close(ready[1]);
      for (;;) pause();
      return 0;
    });
    close(ready[1]);
    char byte;
    CHECK(read(ready[0], &byte, 1) == 0);
    close(ready[0]);
    REQUIRE(Alive());
  }
  ~Holder() {
    if (!Alive()) return;
    kill(pid_, SIGKILL);
    test::WaitFor(pid_);
  }

  bool Alive() {
    if (!ended_) ended_ = waitpid(pid_, nullptr, WNOHANG) != 0;
    return !ended_;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  bool ended_ = false;
};

bool Names(const std::vector<std::string>& texts, const std::string& start) {
  return std::any_of(texts.begin(), texts.end(), [&start](const auto& text) { return text.find(start) == 0; });
}

TEST_CASE_METHOD(CgroupFixture, "who holds a socket that works past the wall is killed when the wall goes up",
                 "[rings]") {
  for (const Opening open : {&OpenXdp, &RegisterXdp}) {
    Apply({});
    Holder holder(cgroup(), open);
    Apply({Containment(PolicyAction::kNotify)});
    CHECK(holder.Alive());
    Apply({Containment()});
    CHECK_FALSE(holder.Alive());
    CHECK(Names(Observe().receipt.ended, "killed pid " + std::to_string(holder.pid()) + " "));
  }
}

TEST_CASE_METHOD(CgroupFixture, "a packet ring is forbidden behind isolation only", "[rings]") {
  Apply({});
  Holder ring(cgroup(), &OpenPacketRing);
  Holder plain(cgroup(), &OpenPacketSocket);
  Holder uring(cgroup(), &OpenRing);
  Apply({Containment()});
  CHECK(ring.Alive());
  Apply({Isolation()});
  CHECK_FALSE(ring.Alive());
  CHECK(plain.Alive());
  CHECK(uring.Alive());
  CHECK(Observe().receipt.ended.size() == 1);
}

TEST_CASE_METHOD(CgroupFixture, "a socket of another cgroup is none of this sensor's business", "[rings]") {
  Apply({});
  const test::CgroupSandbox elsewhere;
  Holder holder(elsewhere, &OpenXdp);
  Apply({Isolation()});
  CHECK(holder.Alive());
  CHECK(Observe().receipt.ended.empty());
}

TEST_CASE_METHOD(CgroupFixture, "a holder that comes later is found by the upkeep", "[rings]") {
  Apply({Containment()});
  Holder holder(cgroup(), &OpenXdpIfPossible);
  for (int round = 0; round < 20; ++round) REQUIRE_OK(datapath().Maintain());
  // Where a security hook works, no such socket can be made behind a wall.
  const std::vector<Mechanism>& mechanisms = datapath().capabilities().mechanisms;
  CHECK(holder.Alive() == std::any_of(mechanisms.begin(), mechanisms.end(), [](const Mechanism& mechanism) {
          return mechanism.name.find("frames_") == 0 && mechanism.available;
        }));
}

TEST_CASE_METHOD(NetFixture, "the sensor itself is named instead of killed", "[rings]") {
  Apply({});
  const UniqueFd socket = host().Socket(AF_XDP, SOCK_RAW);
  Apply({Containment()});
  const ObservedState observed = Observe();
  CHECK(Names(observed.degraded, "process " + std::to_string(getpid()) + " "));
  CHECK_FALSE(Names(observed.receipt.ended, "killed pid " + std::to_string(getpid()) + " "));
}

}  // namespace
}  // namespace bulkhead::sensor
