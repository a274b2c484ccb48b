// Compiles isolation rules: spread them over trees, merge their ports, link each prefix to the one that covers it.
#include "sensor/kernel/rule_compiler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "bulkhead/decide_net.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr int kMappedIpv4Bits = 96;

// Rules that one look-up in the kernel can tell apart by nothing but their prefix.
struct Tree {
  uint8_t direction;
  uint8_t protocol;
  uint8_t family;
  friend auto operator<=>(const Tree&, const Tree&) = default;
};

// Sorts a covering prefix directly before everything that it covers.
struct Prefix {
  std::array<uint8_t, 16> address;
  int length;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

struct Ports {
  bool any = false;
  std::vector<bh_port_range> ranges;

  // False: no rule has this prefix, it only guides the search.
  bool has_rules() const { return any || !ranges.empty(); }
};

using Forest = std::map<Tree, std::map<Prefix, Ports>>;

bool Covers(const Prefix& wide, const Prefix& narrow) {
  if (wide.length > narrow.length) return false;
  const int whole = wide.length / 8;
  if (std::memcmp(wide.address.data(), narrow.address.data(), whole) != 0) return false;
  const int rest = wide.length % 8;
  return rest == 0 || ((wide.address[whole] ^ narrow.address[whole]) >> (8 - rest)) == 0;
}

absl::Status Check(const IsolationRule& rule) {
  const bool any_port = rule.first_port == 0 && rule.last_port == 0;
  if (!any_port && (rule.first_port == 0 || rule.first_port > rule.last_port)) {
    return absl::InvalidArgumentError(absl::StrCat("isolation rule ", rule.id, ": ports ", rule.first_port, "-",
                                                   rule.last_port,
                                                   " are no range; use 1..65535, first not above last"));
  }
  if (!any_port && rule.protocol != 0 && !bh_has_ports(rule.protocol)) {
    return absl::InvalidArgumentError(absl::StrCat("isolation rule ", rule.id, ": protocol ",
                                                   static_cast<int>(rule.protocol),
                                                   " has no ports; leave the ports out"));
  }
  return absl::OkStatus();
}

std::vector<uint8_t> Directions(Direction direction) {
  switch (direction) {
    case Direction::kInbound:
      return {BH_INBOUND};
    case Direction::kOutbound:
      return {BH_OUTBOUND};
    case Direction::kAny:
      return {BH_INBOUND, BH_OUTBOUND};
  }
  return {};
}

std::vector<uint8_t> Protocols(const IsolationRule& rule) {
  if (rule.protocol == 0 && rule.first_port != 0) return {BH_PROTO_TCP, BH_PROTO_UDP};
  return {rule.protocol};
}

// Families are kept apart, so that "::/0" does not hold the v4-mapped form of every IPv4 address.
std::vector<std::pair<uint8_t, Prefix>> Prefixes(const IpPrefix& remote) {
  if (remote.is_ipv4()) return {{BH_IPV4, {remote.bytes(), remote.mapped_length()}}};
  if (remote.is_ipv6()) return {{BH_IPV6, {remote.bytes(), remote.mapped_length()}}};
  Prefix every_ipv4{{}, kMappedIpv4Bits};
  every_ipv4.address[10] = every_ipv4.address[11] = 0xff;
  return {{BH_IPV4, every_ipv4}, {BH_IPV6, Prefix{{}, 0}}};
}

void Plant(const IsolationRule& rule, Forest* forest) {
  for (const uint8_t direction : Directions(rule.direction)) {
    for (const uint8_t protocol : Protocols(rule)) {
      for (const auto& [family, prefix] : Prefixes(rule.remote)) {
        Ports& ports = (*forest)[Tree{direction, protocol, family}][prefix];
        if (rule.first_port == 0) {
          ports.any = true;
        } else {
          ports.ranges.push_back({rule.first_port, rule.last_port});
        }
      }
    }
  }
}

Prefix Shortened(const Prefix& prefix, int length) {
  Prefix out{{}, length};
  for (int i = 0; i < length; ++i) out.address[i / 8] |= prefix.address[i / 8] & (0x80 >> (i % 8));
  return out;
}

// What the head of the set says about the prefixes of each direction and family.
std::array<bh_rule_lengths, BH_RULE_KINDS> LengthsOf(const Forest& forest) {
  std::array<std::set<int>, BH_RULE_KINDS> lengths;
  std::array<bh_rule_lengths, BH_RULE_KINDS> out{};
  for (const auto& [tree, prefixes] : forest) {
    const uint32_t kind = bh_rule_kind(tree.direction, tree.family);
    (tree.protocol == 0 ? out[kind].any_protocol : out[kind].some_protocol) = 1;
    for (const auto& [prefix, ports] : prefixes) lengths[kind].insert(prefix.length);
  }
  for (size_t kind = 0; kind < lengths.size(); ++kind) {
    for (const int length : lengths[kind]) out[kind].length[out[kind].count++] = static_cast<uint8_t>(length);
  }
  return out;
}

// Where the search for a long prefix first asks for a shorter one, it must find something, or it would turn away.
void AddMarkers(const bh_rule_lengths& lengths, std::map<Prefix, Ports>* prefixes) {
  std::vector<Prefix> named;
  for (const auto& [prefix, ports] : *prefixes) named.push_back(prefix);
  for (const Prefix& prefix : named) {
    uint32_t low = 0, high = lengths.count;
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      const int length = lengths.length[middle];
      if (length == prefix.length) break;
      if (length < prefix.length) prefixes->try_emplace(Shortened(prefix, length));
      (length < prefix.length ? low : high) = length < prefix.length ? middle + 1 : middle;
    }
  }
}

// Sorts, and joins ranges that overlap or touch.
std::vector<bh_port_range> Merge(std::vector<bh_port_range> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return std::tie(a.first, a.last) < std::tie(b.first, b.last); });
  std::vector<bh_port_range> merged;
  for (const bh_port_range& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

class Compiler {
 public:
  absl::StatusOr<CompiledRules> Compile(Forest forest) {
    result_.lengths = LengthsOf(forest);
    for (auto& [tree, prefixes] : forest) {
      AddMarkers(result_.lengths[bh_rule_kind(tree.direction, tree.family)], &prefixes);
      RETURN_IF_ERROR(AddTree(tree, prefixes));
    }
    return std::move(result_);
  }

 private:
  absl::Status AddTree(const Tree& tree, const std::map<Prefix, Ports>& prefixes) {
    std::vector<Prefix> covering;
    for (const auto& [prefix, ports] : prefixes) {
      while (!covering.empty() && !Covers(covering.back(), prefix)) covering.pop_back();
      bh_rule_key key{};
      key.direction = tree.direction;
      key.protocol = tree.protocol;
      key.family = tree.family;
      key.length = static_cast<uint8_t>(prefix.length);
      std::memcpy(key.address, prefix.address.data(), sizeof(key.address));
      bh_rule_value value{};
      value.parent = covering.empty() ? 0 : 1 + covering.back().length;
      RETURN_IF_ERROR(SetPorts(ports, &value));
      result_.entries.emplace_back(key, value);
      if (ports.has_rules()) covering.push_back(prefix);
    }
    if (result_.entries.size() <= BH_MAX_RULE_ENTRIES) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("the isolation rules need more than ", BH_MAX_RULE_ENTRIES, " entries; use fewer or wider rules"));
  }

  absl::Status SetPorts(const Ports& ports, bh_rule_value* value) {
    if (ports.any) {
      value->any_port = 1;
      return absl::OkStatus();
    }
    const std::vector<bh_port_range> merged = Merge(ports.ranges);
    if (merged.size() <= BH_RULE_RANGES) {
      value->ranges = merged.size();
      std::copy(merged.begin(), merged.end(), value->range);
      return absl::OkStatus();
    }
    return AddPortSet(merged, &value->port_set);
  }

  // Equal sets are stored once: a rule for both directions and both transports has four of them.
  absl::Status AddPortSet(const std::vector<bh_port_range>& ranges, uint32_t* id) {
    std::vector<std::pair<int, int>> content;
    for (const bh_port_range& range : ranges) content.emplace_back(range.first, range.last);
    const auto [known, added] = set_ids_.try_emplace(std::move(content), result_.port_sets.size() + 1);
    *id = known->second;
    if (!added) return absl::OkStatus();
    if (result_.port_sets.size() == BH_MAX_PORT_SETS) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", BH_MAX_PORT_SETS, " prefixes have over ",
                                                       BH_RULE_RANGES, " separate port ranges"));
    }
    bh_port_set& set = result_.port_sets.emplace_back();
    for (const bh_port_range& range : ranges) {
      for (int port = range.first; port <= range.last; ++port) set.bits[port >> 3] |= 1 << (port & 7);
    }
    return absl::OkStatus();
  }

  CompiledRules result_;
  std::map<std::vector<std::pair<int, int>>, uint32_t> set_ids_;
};

}  // namespace

absl::StatusOr<CompiledRules> CompileRules(const std::vector<IsolationRule>& rules) {
  Forest forest;
  for (const IsolationRule& rule : rules) {
    RETURN_IF_ERROR(Check(rule));
    Plant(rule, &forest);
  }
  return Compiler().Compile(std::move(forest));
}

}  // namespace bulkhead::sensor
