// The digest that says whether a kernel enforces what was ordered.
#pragma once

#include <string>
#include <vector>

#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// SHA-256 (32 bytes) over everything about the rules that is enforced: address, ports, protocol, direction; not who
// made them, nor the description. The order of `rules` does not matter.
std::string IsolationRulesDigest(const std::vector<IsolationRule>& rules);

// SHA-256 (32 bytes) over the sensor's id, its policies (id, template, terms, file, scope) and, only while one of them
// is network isolation, the digest of the rules. The generation is not part of it, the order of `policies` does not
// matter. Pure; thread safe.
std::string DesiredStateDigest(const std::string& sensor_id, const std::vector<Policy>& policies,
                               const std::string& rules_digest);

// True when the policies include network isolation: only then do the isolation rules belong to the state.
bool ReadsIsolationRules(const std::vector<Policy>& policies);

}  // namespace bulkhead::controlplane
