// The compiled rules against a slow reference that reads the rules one by one.
#include "sensor/kernel/rule_compiler.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>

#include "bulkhead/decide_net.h"
#include "harness/status_matchers.h"

namespace bulkhead::sensor {
namespace {

// What one look-up is asked.
struct Query {
  IpPrefix remote;
  uint8_t direction;
  uint8_t protocol;
  uint16_t port;  // 0 for protocols without ports
};

bool ReferenceAllows(const std::vector<IsolationRule>& rules, const Query& query) {
  for (const IsolationRule& rule : rules) {
    const bool direction =
        rule.direction == Direction::kAny || (rule.direction == Direction::kInbound) == (query.direction == BH_INBOUND);
    const bool any_port = rule.first_port == 0;
    const bool protocol =
        rule.protocol == query.protocol ||
        (rule.protocol == 0 && (any_port || query.protocol == BH_PROTO_TCP || query.protocol == BH_PROTO_UDP));
    const bool port = any_port || (rule.first_port <= query.port && query.port <= rule.last_port);
    const bool remote =
        rule.remote.is_any() || (rule.remote.is_ipv4() == query.remote.is_ipv4() && rule.remote.Contains(query.remote));
    if (direction && protocol && port && remote) return true;
  }
  return false;
}

using Entries = std::map<std::string, bh_rule_value>;

Entries Index(const CompiledRules& compiled) {
  Entries entries;
  for (const auto& [key, value] : compiled.entries) {
    entries[std::string(reinterpret_cast<const char*>(&key), sizeof(key))] = value;
  }
  REQUIRE(entries.size() == compiled.entries.size());
  return entries;
}

const bh_rule_value* Find(const Entries& entries, const Query& query, uint8_t protocol, uint8_t length) {
  bh_rule_key key{
      query.direction, protocol, static_cast<uint8_t>(query.remote.is_ipv4() ? BH_IPV4 : BH_IPV6), length, {}};
  for (uint32_t word = 0; word < 4; ++word) {
    uint32_t bits;
    std::memcpy(&bits, &query.remote.bytes()[word * 4], sizeof(bits));
    bits &= htonl(bh_mask_word(length, word));
    std::memcpy(&key.address[word * 4], &bits, sizeof(bits));
  }
  const auto found = entries.find(std::string(reinterpret_cast<const char*>(&key), sizeof(key)));
  return found == entries.end() ? nullptr : &found->second;
}

// As bh_longest_rule in bpf/lib/net.h.
const bh_rule_value* Longest(const Entries& entries, const bh_rule_lengths& lengths, const Query& query,
                             uint8_t protocol) {
  const bh_rule_value* best = nullptr;
  uint32_t low = 0, high = lengths.count;
  int steps = 0;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    const bh_rule_value* found = Find(entries, query, protocol, lengths.length[middle]);
    if (found != nullptr) best = found;
    (found != nullptr ? low : high) = found != nullptr ? middle + 1 : middle;
    CHECK(++steps <= BH_RULE_SEARCH);
  }
  return best;
}

// As bh_rule_match in bpf/lib/net.h.
bool CompiledAllows(const CompiledRules& compiled, const Entries& entries, const Query& query, uint8_t protocol) {
  const uint8_t family = query.remote.is_ipv4() ? BH_IPV4 : BH_IPV6;
  const bh_rule_value* value =
      Longest(entries, compiled.lengths[bh_rule_kind(query.direction, family)], query, protocol);
  for (int step = 0; value != nullptr && step <= BH_RULE_LENGTHS; ++step) {
    if (value->any_port || bh_range_match(value, query.port)) return true;
    if (value->port_set != 0) {
      const bh_port_set& set = compiled.port_sets.at(value->port_set - 1);
      if (set.bits[query.port >> 3] & (1 << (query.port & 7))) return true;
    }
    if (value->parent == 0) return false;
    value = Find(entries, query, protocol, static_cast<uint8_t>(value->parent - 1));
    REQUIRE(value != nullptr);
  }
  return false;
}

// `entries`: Index(compiled).
bool CompiledAllows(const CompiledRules& compiled, const Entries& entries, const Query& query) {
  return CompiledAllows(compiled, entries, query, query.protocol) || CompiledAllows(compiled, entries, query, 0);
}

IpPrefix Prefix(const std::string& text) {
  return IpPrefix::Parse(text).value();
}

// Random values from a small world, so that rules overlap and queries hit.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {}

  int Pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  IpPrefix RandomPrefix() {
    static const char* const kPrefixes[] = {
        "10.0.0.0/8",    "10.1.0.0/16", "10.1.2.0/24",    "10.1.2.3",    "0.0.0.0/0",     "128.0.0.0/1", "::/0",
        "2001:db8::/32", "2001:db8::1", "2001:db8::/127", "10.1.2.2/31", "2001:db8::/33", "fe80::/10"};
    return Prefix(kPrefixes[Pick(std::size(kPrefixes))]);
  }

  IsolationRule RandomRule() {
    static const uint8_t kProtocols[] = {0, BH_PROTO_TCP, BH_PROTO_UDP, BH_PROTO_ICMP};
    IsolationRule rule;
    if (Pick(8) != 0) rule.remote = RandomPrefix();
    rule.protocol = kProtocols[Pick(std::size(kProtocols))];
    rule.direction = static_cast<Direction>(1 + Pick(3));
    if (rule.protocol != BH_PROTO_ICMP && Pick(5) != 0) {
      rule.first_port = 1 + Pick(60);
      rule.last_port = rule.first_port + Pick(3);
    }
    return rule;
  }

  Query RandomQuery() {
    static const char* const kAddresses[] = {"10.1.2.3",         "10.1.2.2",  "10.1.9.9",    "10.9.9.9",
                                             "11.0.0.1",         "200.0.0.1", "2001:db8::1", "2001:db8::2",
                                             "2001:db8:8000::1", "fe80::1",   "::1"};
    static const uint8_t kProtocols[] = {BH_PROTO_TCP, BH_PROTO_UDP, BH_PROTO_ICMP, 47};
    Query query{Prefix(kAddresses[Pick(std::size(kAddresses))]), static_cast<uint8_t>(1 + Pick(2)),
                kProtocols[Pick(std::size(kProtocols))], 0};
    if (query.protocol == BH_PROTO_TCP || query.protocol == BH_PROTO_UDP) query.port = 1 + Pick(70);
    return query;
  }

 private:
  std::mt19937 random_;
};

TEST_CASE("compiled rules answer like the rules themselves") {
  int allowed = 0, denied = 0;
  for (unsigned seed = 1; seed <= 150; ++seed) {
    World world(seed);
    std::vector<IsolationRule> rules;
    for (int i = world.Pick(seed % 3 == 0 ? 120 : 8); i >= 0; --i) rules.push_back(world.RandomRule());
    const CompiledRules compiled = CompileRules(rules).value();
    const Entries entries = Index(compiled);
    for (int i = 0; i < 60; ++i) {
      const Query query = world.RandomQuery();
      const bool wanted = ReferenceAllows(rules, query);
      (wanted ? allowed : denied)++;
      INFO("seed " << seed << ", " << query.remote.ToString() << " protocol " << int{query.protocol} << " port "
                   << query.port << " direction " << int{query.direction});
      REQUIRE(CompiledAllows(compiled, entries, query) == wanted);
    }
  }
  CHECK(allowed > 1000);
  CHECK(denied > 1000);
}

IsolationRule Rule(const std::string& remote, uint16_t first, uint16_t last, uint8_t protocol) {
  IsolationRule rule;
  if (!remote.empty()) rule.remote = Prefix(remote);
  rule.first_port = first;
  rule.last_port = last;
  rule.protocol = protocol;
  rule.direction = Direction::kOutbound;
  return rule;
}

TEST_CASE("ranges that overlap or touch are merged") {
  const CompiledRules compiled =
      CompileRules({Rule("10.0.0.1", 10, 20, 6), Rule("10.0.0.1", 21, 30, 6), Rule("10.0.0.1", 5, 12, 6)}).value();
  REQUIRE(compiled.entries.size() == 1);
  const bh_rule_value& value = compiled.entries[0].second;
  CHECK(value.ranges == 1);
  CHECK(value.range[0].first == 5);
  CHECK(value.range[0].last == 30);
  CHECK(value.parent == 0);
}

TEST_CASE("prefixes of every length are found, and none is found that does not cover the address") {
  World world(11);
  std::vector<IsolationRule> rules;
  for (int length = 0; length <= 128; ++length) {
    std::array<uint8_t, 16> address{};
    for (int i = 0; i < length; ++i) address[i / 8] |= world.Pick(2) ? 0x80 >> (i % 8) : 0;
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, address.data(), text, sizeof(text));
    const std::string remote = std::string(text) + "/" + std::to_string(length);
    if (!IpPrefix::Parse(remote).ok()) continue;
    rules.push_back(Rule(remote, 1000 + length, 1000 + length, 6));
  }
  REQUIRE(rules.size() > 120);
  const CompiledRules compiled = CompileRules(rules).value();
  const Entries entries = Index(compiled);
  for (const IsolationRule& rule : rules) {
    for (const IsolationRule& other : rules) {
      char text[INET6_ADDRSTRLEN];
      inet_ntop(AF_INET6, other.remote.bytes().data(), text, sizeof(text));
      const Query query{Prefix(text), BH_OUTBOUND, 6, rule.first_port};
      INFO(rule.remote.ToString() << " for " << text);
      REQUIRE(CompiledAllows(compiled, entries, query) == ReferenceAllows(rules, query));
    }
  }
}

TEST_CASE("a mask keeps the first bits of a word") {
  CHECK(bh_mask_word(0, 0) == 0);
  CHECK(bh_mask_word(1, 0) == 0x80000000);
  CHECK(bh_mask_word(32, 0) == 0xffffffff);
  CHECK(bh_mask_word(32, 1) == 0);
  CHECK(bh_mask_word(127, 3) == 0xfffffffe);
  CHECK(bh_mask_word(128, 3) == 0xffffffff);
}

TEST_CASE("the last port does not wrap around") {
  const CompiledRules compiled = CompileRules({Rule("10.0.0.1", 65535, 65535, 6), Rule("10.0.0.1", 1, 1, 6)}).value();
  CHECK(compiled.entries[0].second.ranges == 2);
}

TEST_CASE("many intervals go to one shared port set") {
  std::vector<IsolationRule> rules;
  for (int i = 0; i < 100; ++i) {
    rules.push_back(Rule("10.0.0.1", 1000 + 2 * i, 1000 + 2 * i, 0));
    rules.back().direction = Direction::kAny;
  }
  const CompiledRules compiled = CompileRules(rules).value();
  CHECK(compiled.entries.size() == 4);
  CHECK(compiled.port_sets.size() == 1);
}

TEST_CASE("any address spans both families without mixing them") {
  const CompiledRules compiled = CompileRules({Rule("", 443, 443, 6)}).value();
  CHECK(compiled.entries.size() == 2);
  const CompiledRules v6_only = CompileRules({Rule("::/0", 443, 443, 6)}).value();
  CHECK_FALSE(CompiledAllows(v6_only, Index(v6_only), {Prefix("192.0.2.1"), BH_OUTBOUND, 6, 443}));
}

TEST_CASE("ten thousand arbitrary rules compile") {
  World world(7);
  std::vector<IsolationRule> rules;
  for (int i = 0; i < 10000; ++i) {
    const std::string address = std::to_string(1 + world.Pick(200)) + "." + std::to_string(world.Pick(256)) + "." +
                                std::to_string(world.Pick(256)) + "." + std::to_string(world.Pick(256));
    rules.push_back(Rule(address, 1 + i, 1 + i, 0));
    rules.back().direction = Direction::kAny;
  }
  CHECK(CompileRules(rules).value().entries.size() <= 40000);
}

TEST_CASE("rules that cannot be meant are refused by name") {
  IsolationRule rule = Rule("10.0.0.1", 20, 10, 6);
  rule.id = "r-17";
  const absl::Status status = CompileRules({rule}).status();
  CHECK_CODE(status, kInvalidArgument);
  CHECK_THAT(std::string(status.message()), Catch::Contains("r-17"));
  CHECK_CODE(CompileRules({Rule("10.0.0.1", 0, 10, 6)}), kInvalidArgument);
  CHECK_CODE(CompileRules({Rule("10.0.0.1", 10, 10, 1)}), kInvalidArgument);
}

TEST_CASE("no rules compile to nothing") {
  CHECK(CompileRules({}).value().entries.empty());
}

}  // namespace
}  // namespace bulkhead::sensor
