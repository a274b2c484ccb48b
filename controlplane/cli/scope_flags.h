// --cgroup, --unit and --container: which processes of a host an order is about.
#pragma once

#include <string>

#include "CLI/App.hpp"
#include "bulkhead/v1/policy.pb.h"

namespace bulkhead::controlplane::cli {

struct ScopeFlags {
  std::string cgroup;
  std::string unit;
  std::string container;
};

// At most one of them may be given. What the names must look like the control plane says.
void AddScopeFlags(CLI::App& verb, ScopeFlags& flags);

// Sets the request's scope where one is given.
template <typename Request>
void FillScope(const ScopeFlags& flags, Request& request) {
  if (!flags.cgroup.empty()) request.mutable_scope()->set_cgroup(flags.cgroup);
  if (!flags.unit.empty()) request.mutable_scope()->set_systemd_unit(flags.unit);
  if (!flags.container.empty()) request.mutable_scope()->set_container(flags.container);
}

// The flag and its value as they were given, after a space: " --unit nginx.service"; empty without a scope.
std::string ScopeArgument(const ScopeFlags& flags);

}  // namespace bulkhead::controlplane::cli
