// Raw sockets and ICMP: protocols without ports, and packets that the sender writes himself.
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <cerrno>
#include <functional>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

constexpr int kExperimentalProtocol = 253;  // RFC 3692

// Sends one message that `build` makes to `peer`.
class RawProbe : public Probe {
 public:
  struct Way {
    int type = SOCK_RAW;
    int protocol = 0;
    std::string peer = kPeer4;
    std::function<std::string(const Shot&)> build;
  };
  explicit RawProbe(Way way) : way_(std::move(way)) {}

  absl::Status Prepare(const Shot&) override {
    return Run(
        "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range");  // ping sockets are shut to root by default
  }

  absl::Status Attempt(const Shot& shot) override {
    const Endpoint to = MakeEndpoint(way_.peer, 0);
    ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(to.get()->sa_family, way_.type, way_.protocol));
    return SendTo(fd.get(), way_.build(shot), to);
  }

 private:
  const Way way_;
};

template <typename Header>
std::string Bytes(const Header& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

std::string Echo4(const Shot& shot) {
  icmphdr header{};
  header.type = ICMP_ECHO;
  header.un.echo.id = htons(shot.port);
  header.checksum = Checksum(Bytes(header) + shot.token);
  return Bytes(header) + shot.token;
}

std::string Echo6(const Shot& shot) {
  icmp6_hdr header{};
  header.icmp6_type = ICMP6_ECHO_REQUEST;  // the kernel fills in the checksum
  header.icmp6_id = htons(shot.port);
  return Bytes(header) + shot.token;
}

std::string UdpSegment(const Shot& shot) {
  udphdr header{};
  header.source = htons(shot.port);
  header.dest = htons(shot.port);
  header.len = htons(static_cast<uint16_t>(sizeof(header) + shot.token.size()));
  return Bytes(header) + shot.token;
}

std::string OwnHeader(const Shot& shot) {
  return Ipv4UdpPacket(shot.token, shot.port, kOwnAddress4);
}
std::string ForgedSource(const Shot& shot) {
  return Ipv4UdpPacket(shot.token, shot.port, "10.77.0.99");
}

// A later fragment has no ports to look at.
std::string LaterFragment(const Shot& shot) {
  std::string packet = Ipv4UdpPacket(shot.token, shot.port, kOwnAddress4);
  auto* header = reinterpret_cast<iphdr*>(packet.data());
  header->frag_off = htons(185);  // in units of 8 bytes
  return packet;
}

// The ports are not where they are in most packets.
std::string WithOptions(const Shot& shot) {
  std::string packet = Ipv4UdpPacket(shot.token, shot.port, kOwnAddress4);
  packet.insert(sizeof(iphdr), std::string(4, '\x01'));  // one word of no-operation options
  auto* header = reinterpret_cast<iphdr*>(packet.data());
  header->ihl = 6;
  header->tot_len = htons(static_cast<uint16_t>(packet.size()));
  return packet;
}

// A connection that this host pretends to receive: whoever listens answers the address that the SYN claims to come
// from.
class PretendedInboundProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    ASSIGN_OR_RETURN(listener_, OpenSocket(AF_INET, SOCK_STREAM, 0));
    const Endpoint own = MakeEndpoint(kOwnAddress4, shot.port);
    if (bind(listener_.get(), own.get(), own.length) != 0 || listen(listener_.get(), 1) != 0) {
      return ErrnoToStatus(errno, "listen");
    }
    ASSIGN_OR_RETURN(const UniqueFd raw, OpenSocket(AF_INET, SOCK_RAW, IPPROTO_RAW));
    return SendTo(raw.get(), Syn(shot), own);
  }

 private:
  static std::string Syn(const Shot& shot) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = sizeof(ip) / 4;
    ip.ttl = 64;
    ip.protocol = IPPROTO_TCP;
    inet_pton(AF_INET, kPeer4, &ip.saddr);
    inet_pton(AF_INET, kOwnAddress4, &ip.daddr);
    tcphdr tcp{};
    tcp.source = tcp.dest = htons(shot.port);
    tcp.seq = htonl(1);
    tcp.doff = sizeof(tcp) / 4;
    tcp.syn = 1;
    tcp.window = htons(1024);
    const uint16_t pseudo[] = {htons(IPPROTO_TCP), htons(sizeof(tcp))};
    tcp.check = Checksum(Bytes(ip.saddr) + Bytes(ip.daddr) + Bytes(pseudo) + Bytes(tcp));
    return Bytes(ip) + Bytes(tcp);
  }

  UniqueFd listener_;
};

ProbeFactory Raw(RawProbe::Way way) {
  return [way] { return std::make_unique<RawProbe>(way); };
}

}  // namespace

void AddRawProbes(ProbeTable& table) {
  table["icmp_ping_socket"] = Raw({.type = SOCK_DGRAM, .protocol = IPPROTO_ICMP, .build = Echo4});
  table["icmp_raw"] = Raw({.protocol = IPPROTO_ICMP, .build = Echo4});
  table["icmp6_raw"] = Raw({.protocol = IPPROTO_ICMPV6, .peer = kPeer6, .build = Echo6});
  table["raw_udp"] = Raw({.protocol = IPPROTO_UDP, .build = UdpSegment});
  table["raw6_udp"] = Raw({.protocol = IPPROTO_UDP, .peer = kPeer6, .build = UdpSegment});
  table["raw_unknown_protocol"] =
      Raw({.protocol = kExperimentalProtocol, .build = [](const Shot& shot) { return shot.token; }});
  table["raw_own_header"] = Raw({.protocol = IPPROTO_RAW, .build = OwnHeader});
  table["raw_forged_source"] = Raw({.protocol = IPPROTO_RAW, .build = ForgedSource});
  table["raw_later_fragment"] = Raw({.protocol = IPPROTO_RAW, .build = LaterFragment});
  table["pretended_inbound"] = [] { return std::make_unique<PretendedInboundProbe>(); };
  table["raw_ip_options"] = Raw({.protocol = IPPROTO_RAW, .build = WithOptions});
}

}  // namespace bulkhead::leak
