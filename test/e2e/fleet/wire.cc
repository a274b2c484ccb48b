// A cable to a network namespace of its own, on which packets can vanish without a word.
#include "e2e/fleet/wire.h"

#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace bulkhead::e2e {
namespace {

// Addresses of RFC 2544, which nobody routes: four of them, numbered by process and cable.
std::string Address(int number, int last) {
  return "198.18." + std::to_string(number / 64 % 256) + "." + std::to_string(number % 64 * 4 + last);
}

}  // namespace

Wire::Wire() : far_(nullptr) {
  // Another test program may have cables of its own.
  int number = getpid() % 10000;
  std::string name;
  do {
    name = "bhw" + std::to_string(++number);
  } while (if_nametoindex(name.c_str()) != 0);
  near_ = Address(number, 1);
  far_.Run("ip link add far0 type veth peer name " + name + " && ip link set " + name + " netns " +
           std::to_string(getpid()));
  far_.Run("ip link set lo up && ip addr add " + Address(number, 2) + "/30 dev far0 && ip link set far0 up");
  const std::string up = "ip addr add " + near_ + "/30 dev " + name + " && ip link set " + name + " up";
  if (system(up.c_str()) != 0) throw std::runtime_error("setting up the cable " + name + " failed");
}

UniqueFd Wire::FarSocket() const {
  const std::lock_guard lock(mutex_);
  return far_.Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
}

void Wire::Lose(Loss loss) const {
  std::string command = "nft flush ruleset && nft add table inet loss";
  const auto drop = [&](const char* hook) {
    command += std::string(" && nft 'add chain inet loss ") + hook + " { type filter hook " + hook +
               " priority 0; policy drop; }'";
  };
  if (loss == Loss::kToServer || loss == Loss::kBoth) drop("output");
  if (loss == Loss::kToClient || loss == Loss::kBoth) drop("input");
  const std::lock_guard lock(mutex_);
  far_.Run(command);
}

}  // namespace bulkhead::e2e
