// Fills the lists from routes, bonds and addresses.
#include "sensor/kernel/interfaces/resolution_lists.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/kernel/interfaces/routes.h"

namespace bulkhead::sensor {
namespace {

constexpr char kInterfaces[] = "/sys/class/net";

std::string TextOf(const bh_endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = {};
  const auto* address = reinterpret_cast<const in6_addr*>(endpoint.address);
  if (IN6_IS_ADDR_V4MAPPED(address)) return inet_ntop(AF_INET, endpoint.address + 12, text, sizeof(text));
  return inet_ntop(AF_INET6, endpoint.address, text, sizeof(text));
}

// A bond asks for these to learn whether its link is up: without an answer it takes the link down.
std::vector<bh_endpoint> WatchedByBonds() {
  std::vector<bh_endpoint> watched;
  std::error_code error;
  for (const auto& interface : std::filesystem::directory_iterator(kInterfaces, error)) {
    for (const char* list : {"arp_ip_target", "ns_ip6_target"}) {
      const absl::StatusOr<std::string> text = ReadFile(interface.path().string() + "/bonding/" + list);
      if (!text.ok()) continue;  // no bond
      for (const absl::string_view word : absl::StrSplit(*text, absl::ByAnyChar(" ,\n"), absl::SkipEmpty())) {
        bh_endpoint endpoint{};
        const std::string mapped = absl::StrContains(word, ':') ? std::string(word) : absl::StrCat("::ffff:", word);
        if (inet_pton(AF_INET6, mapped.c_str(), endpoint.address) == 1) watched.push_back(endpoint);
      }
    }
  }
  return watched;
}

// Empty: all are Ethernet, whose messages the programs know.
std::string FirstForeign(const std::vector<int>& interfaces) {
  for (const int interface : interfaces) {
    char name[IF_NAMESIZE] = {};
    if (if_indextoname(static_cast<unsigned>(interface), name) == nullptr) continue;  // gone meanwhile
    const absl::StatusOr<std::string> type = ReadFile(absl::StrCat(kInterfaces, "/", name, "/type"));
    if (type.ok() && absl::StripAsciiWhitespace(*type) != absl::StrCat(ARPHRD_ETHER)) return name;
  }
  return "";
}

void AddMissing(const std::vector<bh_endpoint>& more, std::vector<bh_endpoint>* all) {
  for (const bh_endpoint& endpoint : more) {
    if (!Holds(*all, endpoint)) all->push_back(endpoint);
  }
}

}  // namespace

absl::StatusOr<ResolutionLists> ResolutionLists::Open(const std::string& pin_directory) {
  ResolutionLists lists;
  ASSIGN_OR_RETURN(lists.near_, BpfMap::OpenPinned(absl::StrCat(pin_directory, "/bh_if_near")));
  ASSIGN_OR_RETURN(lists.own_, BpfMap::OpenPinned(absl::StrCat(pin_directory, "/bh_if_own")));
  ASSIGN_OR_RETURN(lists.taken_, lists.near_.Keys<bh_endpoint>());
  if (Holds(lists.taken_, bh_endpoint{})) lists.problem_ = "an earlier sensor could not tell the gateways";
  return lists;
}

void ResolutionLists::GiveUp(std::string why) {
  problem_ = std::move(why);
  taken_ = {bh_endpoint{}};
}

void ResolutionLists::TakeNeighbours(const std::vector<int>& interfaces) {
  const absl::StatusOr<std::vector<bh_endpoint>> gateways = Gateways();
  const std::string foreign = FirstForeign(interfaces);
  if (!gateways.ok()) {
    GiveUp(std::string(gateways.status().message()));
  } else if (!foreign.empty()) {
    GiveUp(absl::StrCat(foreign, " is no Ethernet interface"));
  } else if (gateways->size() > BH_MAX_NEAR - BH_MAX_CONTROL_PLANE) {
    GiveUp(absl::StrCat(gateways->size(), " gateways are more than can be listed"));
  } else {
    problem_.clear();
    taken_ = *gateways;
    AddMissing(WatchedByBonds(), &taken_);
  }
}

absl::StatusOr<std::vector<std::string>> ResolutionLists::Follow(const std::vector<bh_endpoint>& own,
                                                                 const std::vector<bh_endpoint>& control_plane) {
  RETURN_IF_ERROR(own_.SetKeys(own).status());
  std::vector<bh_endpoint> wanted = taken_;
  for (const bh_endpoint& endpoint : control_plane) {
    const absl::StatusOr<bh_endpoint> hop = NextHop(endpoint);
    if (hop.ok()) AddMissing({*hop}, &wanted);  // else there is no way now
  }
  ASSIGN_OR_RETURN(const std::vector<bh_endpoint> before, near_.Keys<bh_endpoint>());
  RETURN_IF_ERROR(near_.SetKeys(wanted).status());
  std::vector<std::string> fresh;
  for (const bh_endpoint& endpoint : wanted) {
    if (!Holds(before, endpoint)) {
      fresh.push_back(absl::StrCat("the way to the control plane leads through ", TextOf(endpoint), " now"));
    }
  }
  return fresh;
}

}  // namespace bulkhead::sensor
