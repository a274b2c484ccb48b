// bulkheadctl isolation-rule list, add and delete: what isolated hosts may still reach or be reached by.
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/wait.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;

struct Flags : OrderFlags {
  std::string id;
  std::string direction;
  std::string address;
  std::string ports;
  std::string protocol;
  std::string description;
};

const std::map<std::string, v1::Direction>& Directions() {
  static const std::map<std::string, v1::Direction> kDirections = {
      {"inbound", v1::DIRECTION_INBOUND}, {"outbound", v1::DIRECTION_OUTBOUND}, {"any", v1::DIRECTION_ANY}};
  return kDirections;
}

std::optional<uint32_t> ProtocolNumber(const std::string& word) {
  static const std::map<std::string, uint32_t> kProtocols = {{"", 0},     {"any", 0},  {"tcp", 6},
                                                             {"udp", 17}, {"icmp", 1}, {"icmpv6", 58}};
  const auto known = kProtocols.find(word);
  if (known != kProtocols.end()) return known->second;
  uint32_t number = 0;
  if (!absl::SimpleAtoi(word, &number)) return std::nullopt;
  return number;
}

// "22" or "4505-4506". Only the form is checked here: which ports are right is the control plane's to say.
bool ParsePorts(const std::string& text, v1::PortRange& ports) {
  const size_t dash = text.find('-');
  uint32_t first = 0;
  uint32_t last = 0;
  if (!absl::SimpleAtoi(text.substr(0, dash), &first)) return false;
  last = first;
  if (dash != std::string::npos && !absl::SimpleAtoi(text.substr(dash + 1), &last)) return false;
  ports.set_first(first);
  ports.set_last(last);
  return true;
}

absl::StatusOr<v1::IsolationRule> RuleFrom(const Flags& flags) {
  v1::IsolationRule rule;
  rule.set_direction(Directions().at(flags.direction));
  if (flags.address != "any") rule.set_address(flags.address);
  if (!flags.ports.empty() && flags.ports != "any" && !ParsePorts(flags.ports, *rule.mutable_ports())) {
    return UsageError(
        absl::StrCat("--ports \"", flags.ports, "\" is not a port or a range; write for example 22 or 4505-4506"));
  }
  const std::optional<uint32_t> protocol = ProtocolNumber(flags.protocol);
  if (!protocol.has_value()) {
    return UsageError(
        absl::StrCat("--protocol \"", flags.protocol, "\" is unknown; write any, tcp, udp, icmp, icmpv6 or a number"));
  }
  rule.set_protocol(*protocol);
  rule.set_description(flags.description);
  return rule;
}

absl::StatusOr<v1::ListSensorsResponse> AllSensors(Session& session) {
  v1::ListSensorsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListSensorsRequest request;
        request.set_page_size(kPageSize / 2);
        request.set_page_token(token);
        return session.Call(&v1::SensorService::Stub::ListSensors, request);
      },
      [&](const v1::ListSensorsResponse& page) { all.mutable_sensors()->MergeFrom(page.sensors()); }));
  return all;
}

// Waits if asked until every isolated sensor has the change, then prints.
absl::Status ReportRule(Session& session, const Flags& flags, absl::Time called,
                        const google::protobuf::Message& response, std::string text) {
  absl::Status confirmed;
  if (flags.wait) {
    ASSIGN_OR_RETURN(const v1::ListSensorsResponse sensors, AllSensors(session));
    std::vector<Goal> goals;
    for (const v1::Sensor& sensor : sensors.sensors()) {
      if (sensor.is_isolated()) goals.push_back({sensor.id(), sensor.name(), sensor.desired_generation()});
    }
    confirmed = WaitForKernels(session, goals, flags.timeout).status();
    if (confirmed.ok()) {
      absl::StrAppendFormat(&text, "in the kernel of %d isolated sensors; confirmed %.1f ms after the call\n",
                            goals.size(), absl::ToDoubleMilliseconds(absl::Now() - called));
    }
  }
  RETURN_IF_ERROR(session.Print(response, text));
  return confirmed;
}

absl::Status List(Session& session, const Flags&) {
  v1::ListIsolationRulesResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        v1::ListIsolationRulesRequest request;
        request.set_page_size(kPageSize);
        request.set_page_token(token);
        return session.Call(&v1::IsolationRuleService::Stub::ListIsolationRules, request);
      },
      [&](const v1::ListIsolationRulesResponse& page) { all.mutable_rules()->MergeFrom(page.rules()); }));
  return session.Print(all, RenderIsolationRules(all, session.now()));
}

absl::Status Add(Session& session, const Flags& flags) {
  v1::CreateIsolationRuleRequest request;
  ASSIGN_OR_RETURN(*request.mutable_rule(), RuleFrom(flags));
  request.set_request_id(flags.request_id);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::IsolationRuleService::Stub::CreateIsolationRule, request, flags.request_id));
  const std::string text =
      absl::StrCat("rule:   ", response.rule().id(), ", sent to ", response.sensors_affected(),
                   " isolated sensors\nundo:   bulkheadctl isolation-rule delete ", response.rule().id(), "\n");
  return ReportRule(session, flags, called, response, text);
}

absl::Status Delete(Session& session, const Flags& flags) {
  v1::DeleteIsolationRuleRequest request;
  request.set_id(flags.id);
  request.set_request_id(flags.request_id);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::IsolationRuleService::Stub::DeleteIsolationRule, request, flags.request_id));
  const std::string text =
      absl::StrCat("rule ", flags.id, " is deleted, taken from ", response.sensors_affected(), " isolated sensors\n");
  return ReportRule(session, flags, called, response, text);
}

void AddRuleFlags(CLI::App& verb, Flags& flags) {
  verb.add_option("--direction", flags.direction, "Which side may open the connection, seen from the isolated host")
      ->required()
      ->type_name("inbound|outbound|any")
      ->check([](const std::string& word) {
        return Directions().count(word) == 0 ? "write inbound, outbound or any" : "";
      });
  verb.add_option("--address", flags.address, "Remote address or prefix, IPv4 or IPv6 (default: any)")
      ->type_name("PREFIX");
  verb.add_option("--ports", flags.ports,
                  "Port or range: of this host for inbound, of the remote for outbound (default: any)")
      ->type_name("PORTS");
  verb.add_option("--protocol", flags.protocol, "Name or number (default: any; with --ports, TCP and UDP)")
      ->type_name("any|tcp|udp|icmp|icmpv6");
  verb.add_option("--description", flags.description, "Why the rule exists")->type_name("TEXT");
}

}  // namespace

void AddIsolationRuleCommands(CLI::App& root, Action& action) {
  CLI::App* noun = root.add_subcommand("isolation-rule", "What isolated hosts may still reach, or be reached by");
  noun->require_subcommand(1);
  AddVerb(*noun, action, "list", "List the rules, oldest first",
          "Rules are global. The sensor's own stream and loopback are always allowed and need no rule.\n"
          "Example: bulkheadctl isolation-rule list",
          std::make_shared<Flags>(), List);

  const auto add_flags = std::make_shared<Flags>();
  CLI::App* add = AddVerb(*noun, action, "add", "Allow something on every isolated host, at once, also while isolated",
                          "Does: allow the replies too. Does not: restore connections that isolation has cut.\n"
                          "Undo: bulkheadctl isolation-rule delete ID, with the id that is printed\n"
                          "Example: bulkheadctl isolation-rule add --direction inbound --protocol tcp --ports 22 "
                          "--address 10.0.0.10 --description \"jump box\"",
                          add_flags, Add);
  AddRuleFlags(*add, *add_flags);
  AddRequestIdFlag(*add, *add_flags);
  AddWaitFlags(*add, *add_flags, "every isolated host has it");

  const auto delete_flags = std::make_shared<Flags>();
  CLI::App* remove = AddVerb(*noun, action, "delete", "Remove a rule from every isolated host; what it allowed is cut",
                             "Undo: bulkheadctl isolation-rule add\n"
                             "Example: bulkheadctl isolation-rule delete 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77 --wait",
                             delete_flags, Delete);
  remove->add_option("id", delete_flags->id, "Id of the rule")->required()->type_name("RULE");
  AddRequestIdFlag(*remove, *delete_flags);
  AddWaitFlags(*remove, *delete_flags, "every isolated host has it");
}

}  // namespace bulkhead::controlplane::cli
