// Reads routes from rtnetlink.
#include "sensor/kernel/interfaces/routes.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <optional>

#include "common/status_macros.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/endpoints.h"
#include "sensor/kernel/interfaces/rtnetlink.h"

namespace bulkhead::sensor {
namespace {

void Add(const void* address, size_t bytes, std::vector<bh_endpoint>* found) {
  const std::optional<bh_endpoint> endpoint = EndpointOf(address, bytes);
  if (endpoint.has_value() && !Holds(*found, *endpoint)) found->push_back(*endpoint);
}

int TakeHop(const nlattr* attribute, void* data);

// The next hops of one route; each may have attributes of its own.
void TakeHops(const nlattr* all, std::vector<bh_endpoint>* found) {
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(all));
  int left = mnl_attr_get_payload_len(all);
  while (RTNH_OK(hop, left)) {
    mnl_attr_parse_payload(RTNH_DATA(hop), hop->rtnh_len - RTNH_LENGTH(0), &TakeHop, found);
    left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len));
    hop = RTNH_NEXT(hop);
  }
}

int TakeHop(const nlattr* attribute, void* data) {
  auto* found = static_cast<std::vector<bh_endpoint>*>(data);
  const auto* payload = static_cast<const char*>(mnl_attr_get_payload(attribute));
  const size_t bytes = mnl_attr_get_payload_len(attribute);
  switch (mnl_attr_get_type(attribute)) {
    case RTA_GATEWAY:
      Add(payload, bytes, found);
      break;
    case RTA_VIA:  // a gateway of the other family
      if (bytes > sizeof(rtvia)) Add(payload + sizeof(rtvia), bytes - sizeof(rtvia), found);
      break;
    case RTA_MULTIPATH:
      TakeHops(attribute, found);
      break;
    default:
      break;
  }
  return MNL_CB_OK;
}

int TakeRoute(const nlmsghdr* message, void* data) {
  return mnl_attr_parse(message, sizeof(rtmsg), &TakeHop, data);
}

// A request about routes; its attributes are still to come.
nlmsghdr* StartRequest(void* buffer, uint16_t flags, uint8_t family) {
  nlmsghdr* const request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST | flags;
  static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)))->rtm_family = family;
  return request;
}

}  // namespace

absl::StatusOr<std::vector<bh_endpoint>> Gateways() {
  std::vector<bh_endpoint> found;
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    std::array<char, 256> buffer;
    nlmsghdr* const request = StartRequest(buffer.data(), NLM_F_DUMP, family);
    RETURN_IF_ERROR(AskRtnetlink(request, "read this host's routes", &TakeRoute, &found));
  }
  return found;
}

absl::StatusOr<bh_endpoint> NextHop(const bh_endpoint& remote) {
  const bool ipv4 = IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(remote.address));
  const size_t bytes = ipv4 ? sizeof(in_addr) : sizeof(in6_addr);
  std::array<char, 256> buffer;
  nlmsghdr* const request = StartRequest(buffer.data(), 0, ipv4 ? AF_INET : AF_INET6);
  static_cast<rtmsg*>(mnl_nlmsg_get_payload(request))->rtm_dst_len = static_cast<unsigned char>(8 * bytes);
  mnl_attr_put(request, RTA_DST, bytes, remote.address + sizeof(remote.address) - bytes);
  std::vector<bh_endpoint> found;
  RETURN_IF_ERROR(AskRtnetlink(request, "ask for the way to the control plane", &TakeRoute, &found));
  if (!found.empty()) return found.front();
  bh_endpoint on_link = remote;
  on_link.port = 0;
  return on_link;
}

}  // namespace bulkhead::sensor
