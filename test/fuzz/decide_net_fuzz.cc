// The network decisions against the promise in words, for any facts about any packet.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "bulkhead/decide_net.h"

namespace {

// docs/security.md, in as many words: no rule is needed for these, under any wall.
bool Exempt(const bh_flow& flow) {
  return (flow.facts & BH_LOOPBACK) || (flow.facts & BH_CONTROL) || (flow.facts & BH_NEIGHBOUR);
}

// Contained: whatever arrives may; what leaves must belong to a TCP connection that somebody else opened.
bool ContainPromise(const bh_flow& flow) {
  if (Exempt(flow) || flow.direction == BH_INBOUND) return true;
  if (flow.problem != 0 || flow.protocol != BH_PROTO_TCP) return false;
  const bool asks = (flow.facts & BH_TCP_SYN) != 0;
  const bool opened_by_others = (flow.facts & BH_PASSIVE) || (flow.facts & BH_LISTENER);
  return !asks && opened_by_others;
}

// Isolated: a rule, or the reply to what a rule allowed; nothing that cannot be parsed.
bool IsolatePromise(const bh_flow& flow) {
  if (Exempt(flow)) return true;
  return flow.problem == 0 && ((flow.facts & BH_RULE) || (flow.facts & BH_REPLY));
}

void Check(const bh_decision& decision, bool promised) {
  if ((decision.verdict == BH_ALLOW) != promised) std::abort();
  if (decision.verdict == BH_DENY && decision.reason >= BH_COUNTERS) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bh_flow flow;
  if (size < sizeof(flow)) return 0;
  std::memcpy(&flow, data, sizeof(flow));
  flow.direction = (flow.direction & 1) ? BH_INBOUND : BH_OUTBOUND;
  flow.problem %= BH_SHADOW_DROP;
  Check(bh_decide(BH_NO_WALL, &flow), true);
  Check(bh_decide(BH_CONTAIN, &flow), ContainPromise(flow));
  Check(bh_decide(BH_ISOLATE, &flow), IsolatePromise(flow));
  return 0;
}
