// Completion of commands, flags, names and ids in bash.
#include "controlplane/cli/completion.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace bulkhead::controlplane::cli {

const char kBashCompletion[] =
    R"(# bash completion for bulkheadctl; add to ~/.bashrc: source <(bulkheadctl completion bash)
_bulkheadctl() {
  local IFS=$'\n'
  COMPREPLY=($("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _bulkheadctl bulkheadctl
)";

namespace {

constexpr absl::Duration kTimeout = absl::Seconds(1);
constexpr int kMostCandidates = 1000;

// Where in the tree of commands the cursor is.
struct Position {
  CLI::App* app;
  size_t positionals = 0;
  const CLI::Option* awaits_value = nullptr;  // the word before is an option that takes one
};

const CLI::Option* FindOption(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

CLI::App* FindSubcommand(CLI::App* app, const std::string& name) {
  const auto named = app->get_subcommands([&name](CLI::App* sub) { return sub->get_name() == name; });
  return named.empty() ? nullptr : named.front();
}

Position Locate(CLI::App& root, const std::vector<std::string>& before, ConnectionOptions& connection) {
  const std::map<std::string, std::string*> connection_flags = {{"--config", &connection.config},
                                                                {"--server", &connection.server},
                                                                {"--ca", &connection.ca},
                                                                {"--cert", &connection.cert},
                                                                {"--key", &connection.key}};
  Position position{&root};
  for (const std::string& word : before) {
    if (position.awaits_value != nullptr) {
      const auto flag = connection_flags.find(position.awaits_value->get_name());
      if (flag != connection_flags.end()) *flag->second = word;
      position.awaits_value = nullptr;
    } else if (absl::StartsWith(word, "-")) {
      const CLI::Option* option = FindOption(position.app, word);
      if (option != nullptr && option->get_items_expected_max() > 0) position.awaits_value = option;
    } else if (CLI::App* sub = FindSubcommand(position.app, word)) {
      position.app = sub;
      position.positionals = 0;
    } else {
      ++position.positionals;
    }
  }
  return position;
}

std::vector<std::string> OptionNames(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::vector<std::string> SensorNames(Session& session, const std::string& prefix) {
  v1::ListSensorsRequest request;
  request.set_page_size(kMostCandidates);
  request.set_name_prefix(prefix);
  std::vector<std::string> names;
  const auto response = session.Call(&v1::SensorService::Stub::ListSensors, request, "", kTimeout);
  if (!response.ok()) return names;
  for (const v1::Sensor& sensor : response->sensors()) names.push_back(sensor.name());
  return names;
}

// Ids of the first page of a list.
template <typename Stub, typename Request, typename Response, typename Items>
std::vector<std::string> Ids(Session& session,
                             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                             Items items) {
  Request request;
  request.set_page_size(kMostCandidates);
  std::vector<std::string> ids;
  const auto response = session.Call(method, request, "", kTimeout);
  if (!response.ok()) return ids;
  for (const auto& item : items(*response)) ids.push_back(item.id());
  return ids;
}

// What an option or positional takes is named by its type in the help.
std::vector<std::string> ValuesOf(const CLI::Option& option, Session& session, const std::string& prefix) {
  const std::string type = option.get_type_name();
  if (absl::StrContains(type, '|')) return absl::StrSplit(type, '|');
  if (type == "SENSOR") return SensorNames(session, prefix);
  if (type == "POLICY") {
    return Ids(session, &v1::PolicyService::Stub::ListEnforcementPolicies,
               [](const auto& page) { return page.policies(); });
  }
  if (type == "RULE") {
    return Ids(session, &v1::IsolationRuleService::Stub::ListIsolationRules,
               [](const auto& page) { return page.rules(); });
  }
  if (type == "ROLLOUT") {
    return Ids(session, &v1::RolloutService::Stub::ListRollouts, [](const auto& page) { return page.rollouts(); });
  }
  if (type == "TOKEN") {
    return Ids(session, &v1::EnrollmentService::Stub::ListEnrollmentTokens,
               [](const auto& page) { return page.tokens(); });
  }
  return {};
}

std::vector<std::string> Candidates(const Position& position, Session& session, const std::string& last) {
  if (position.awaits_value != nullptr) return ValuesOf(*position.awaits_value, session, last);
  if (absl::StartsWith(last, "-")) return OptionNames(position.app);
  std::vector<std::string> names;
  for (const CLI::App* sub : position.app->get_subcommands({})) names.push_back(sub->get_name());
  if (!names.empty()) return names;
  std::vector<const CLI::Option*> positionals;
  for (const CLI::Option* option : position.app->get_options()) {
    if (option->get_positional()) positionals.push_back(option);
  }
  if (positionals.empty()) return names;
  const size_t last_index = positionals.size() - 1;
  // Only a positional that takes several values goes on after its first.
  if (position.positionals > last_index && positionals[last_index]->get_items_expected_max() <= 1) return names;
  return ValuesOf(*positionals[std::min(position.positionals, last_index)], session, last);
}

}  // namespace

std::vector<std::string> Complete(CLI::App& root, Session& session, const std::vector<std::string>& words) {
  const std::string last = words.empty() ? "" : words.back();
  const std::vector<std::string> before(words.begin(), words.empty() ? words.end() : words.end() - 1);
  const Position position = Locate(root, before, session.connection);
  std::vector<std::string> matching;
  for (std::string& candidate : Candidates(position, session, last)) {
    if (absl::StartsWith(candidate, last)) matching.push_back(std::move(candidate));
  }
  std::sort(matching.begin(), matching.end());
  matching.erase(std::unique(matching.begin(), matching.end()), matching.end());
  return matching;
}

}  // namespace bulkhead::controlplane::cli
