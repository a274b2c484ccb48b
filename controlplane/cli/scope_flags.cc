// --cgroup, --unit and --container.
#include "controlplane/cli/scope_flags.h"

#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane::cli {

void AddScopeFlags(CLI::App& verb, ScopeFlags& flags) {
  CLI::Option* cgroup = verb.add_option("--cgroup", flags.cgroup,
                                        "Only this cgroup and those below it: path under the host's cgroup v2 root")
                            ->type_name("PATH");
  CLI::Option* unit = verb.add_option("--unit", flags.unit, "Only this systemd service, scope or slice")
                          ->type_name("UNIT")
                          ->excludes(cgroup);
  verb.add_option("--container", flags.container, "Only this container: its id, or the first 12 or more digits of it")
      ->type_name("ID")
      ->excludes(cgroup)
      ->excludes(unit);
}

std::string ScopeArgument(const ScopeFlags& flags) {
  if (!flags.cgroup.empty()) return absl::StrCat(" --cgroup ", flags.cgroup);
  if (!flags.unit.empty()) return absl::StrCat(" --unit ", flags.unit);
  return flags.container.empty() ? "" : absl::StrCat(" --container ", flags.container);
}

}  // namespace bulkhead::controlplane::cli
