// Reads remote endpoints from /proc/net/tcp and tcp6.
#include "sensor/kernel/tcp_peers.h"

#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kIpv4Digits = 8;
constexpr size_t kIpv6Digits = 32;

// The kernel prints addresses as host-order words of 8 digits, and ports as numbers.
bool ParsePeer(absl::string_view text, bh_endpoint* endpoint) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  uint32_t port = 0;
  if (parts.size() != 2 || !absl::SimpleHexAtoi(parts[1], &port) || port == 0 || port > 65535) return false;
  if (parts[0].size() != kIpv4Digits && parts[0].size() != kIpv6Digits) return false;
  *endpoint = {};
  endpoint->port = port;
  size_t offset = 0;
  if (parts[0].size() == kIpv4Digits) {
    endpoint->address[10] = endpoint->address[11] = 0xff;
    offset = 12;
  }
  for (size_t i = 0; i < parts[0].size(); i += 8, offset += 4) {
    uint32_t word = 0;
    if (!absl::SimpleHexAtoi(parts[0].substr(i, 8), &word)) return false;
    std::memcpy(endpoint->address + offset, &word, sizeof(word));
  }
  return true;
}

}  // namespace

std::vector<bh_endpoint> ParseTcpPeers(absl::string_view text) {
  std::vector<bh_endpoint> peers;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    // "  0: 0100007F:1F90 0200007F:C350 01 …": the third field is the peer.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    bh_endpoint endpoint;
    if (fields.size() > 2 && ParsePeer(fields[2], &endpoint)) peers.push_back(endpoint);
  }
  return peers;
}

std::vector<bh_endpoint> TcpPeers() {
  std::vector<bh_endpoint> peers;
  for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    const absl::StatusOr<std::string> text = ReadFile(path, 64 << 20);
    if (!text.ok()) continue;
    const std::vector<bh_endpoint> more = ParseTcpPeers(*text);
    peers.insert(peers.end(), more.begin(), more.end());
  }
  return peers;
}

}  // namespace bulkhead::sensor
