// The walls that others build, to compare with.
#include <bpf/libbpf.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/errno_status.h"
#include "connect_hook.skel.h"
#include "test/leak/probe.h"
#include "test/leak/wall.h"

namespace bulkhead::leak {
namespace {

constexpr char kDrop[] = "table inet leakwall; delete table inet leakwall; ";

absl::Status Nft(absl::string_view commands) {
  const int status = system(absl::StrCat("nft '", commands, "'").c_str());
  if (status == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("nft ended with wait status ", status, "; it was given: ", commands));
}

// Neighbour discovery passes, or nothing over IPv6 would, allowed or not.
std::string Chain(absl::string_view hook, absl::string_view rules) {
  return absl::StrCat("chain ", hook, " { type filter hook ", hook, " priority -300; policy drop; ",
                      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; ", rules, "}\n");
}

class NftablesWall : public Wall {
 public:
  ~NftablesWall() override { (void)Nft(kDrop); }

  absl::Status Order(const std::string& order) override {
    if (order == "open") return Nft(kDrop);
    const std::string answers = "ct direction reply accept; ";
    const std::string allowed = absl::StrCat("ip daddr ", kPeer4, " tcp dport ", kAllowedPort, " accept; ");
    std::string chains;
    if (order == "contain") {
      chains = absl::StrCat(Chain("output", "oif lo accept; " + answers), Chain("forward", ""));
    } else {
      chains = absl::StrCat(Chain("output", "oif lo accept; " + allowed), Chain("forward", ""),
                            Chain("input", "iif lo accept; " + answers));
    }
    return Nft(absl::StrCat(kDrop, "table inet leakwall { ", chains, "}"));
  }

  std::string Layers() const override { return "nftables"; }
};

class ConnectHookWall : public Wall {
 public:
  static absl::StatusOr<std::unique_ptr<Wall>> Open() {
    std::unique_ptr<ConnectHookWall> wall(new ConnectHookWall());
    wall->programs_ = connect_hook_bpf__open_and_load();
    if (wall->programs_ == nullptr) return ErrnoToStatus(errno, "cannot load the hook");
    const int attached = connect_hook_bpf__attach(wall->programs_);
    if (attached != 0) return ErrnoToStatus(-attached, "cannot attach the hook");
    return std::unique_ptr<Wall>(std::move(wall));
  }

  ~ConnectHookWall() override { connect_hook_bpf__destroy(programs_); }

  absl::Status Order(const std::string& order) override {
    programs_->bss->hook_enabled = order == "open" ? 0 : 1;
    return absl::OkStatus();
  }

  std::string Layers() const override { return "kprobe_tcp_connect"; }

 private:
  connect_hook_bpf* programs_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Wall>> OpenNftablesWall() {
  return std::unique_ptr<Wall>(new NftablesWall());
}

absl::StatusOr<std::unique_ptr<Wall>> OpenConnectHookWall() {
  return ConnectHookWall::Open();
}

}  // namespace bulkhead::leak
