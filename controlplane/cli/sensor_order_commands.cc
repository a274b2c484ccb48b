// bulkheadctl sensor contain, release, isolate, allow-list and block-binary: orders to a kernel.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/allow_list_file.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/rollout_orders.h"
#include "controlplane/cli/scope_flags.h"
#include "controlplane/cli/signing.h"
#include "controlplane/cli/wait.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr char kKernelHasIt[] = "the kernel has it";

struct Flags : OrderFlags {
  std::string sensor;
  std::string action;  // deny, sigkill or notify
  bool shadow = false;
  absl::Duration lease;             // zero: none
  std::optional<absl::Time> until;  // end of the lease, instead
  std::string on_expiry;            // release or hold
  bool hold_unreachable = false;
  bool allow_degraded = false;
  bool force = false;
  std::string path;
  std::string sha256;  // hexadecimal digits
  bool kill_running = false;
  bool only_containment = false;
  bool only_isolation = false;
  ScopeFlags scope;
  // Of an allow-list.
  bool learn = false;
  std::vector<std::string> allowed_paths;
  std::vector<std::string> allowed_digests;  // hexadecimal digits
  std::string list_file;
  std::string block_list;  // name of a list
  SignFlags sign;
};

v1::PolicyAction ActionOf(const std::string& word) {
  static const std::map<std::string, v1::PolicyAction> kActions = {
      {"deny", v1::POLICY_ACTION_DENY}, {"sigkill", v1::POLICY_ACTION_SIGKILL}, {"notify", v1::POLICY_ACTION_NOTIFY}};
  const auto found = kActions.find(word);
  return found == kActions.end() ? v1::POLICY_ACTION_UNSPECIFIED : found->second;
}

void AddAction(CLI::App& verb, Flags& flags, const std::string& standard) {
  verb.add_option("--action", flags.action,
                  absl::StrCat("What happens to a process that tries; notify stops nothing and only counts (default ",
                               standard, ")"))
      ->type_name("deny|sigkill|notify")
      ->check([](const std::string& word) {
        return ActionOf(word) == v1::POLICY_ACTION_UNSPECIFIED ? "write deny, sigkill or notify" : "";
      });
}

// A lease is how long an order is good for; without one it is good until it is lifted.
void AddLease(CLI::App& verb, Flags& flags) {
  CLI::Option* lease = AddDuration(verb, "--for", flags.lease, "End by itself after this long, 1s to 8760h");
  const auto parse = [&flags](const std::string& text) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
      throw CLI::ValidationError("--until",
                                 absl::StrCat("\"", text, "\" is not a time; write for example 2026-03-15T10:00:00Z"));
    }
    flags.until = time;
  };
  verb.add_option_function<std::string>("--until", parse, "End by itself at this time (RFC 3339)")
      ->type_name("TIME")
      ->excludes(lease);
  verb.add_option("--on-expiry", flags.on_expiry,
                  "What happens at the end: the kernel lets go, or it holds until an order (default release)")
      ->type_name("release|hold")
      ->check(CLI::IsMember({"release", "hold"}));
}

void AddNetworkTerms(CLI::App& verb, Flags& flags) {
  AddLease(verb, flags);
  verb.add_flag("--hold-unreachable", flags.hold_unreachable,
                "Keep the wall up even if it cuts the sensor off from the control plane (default: roll back)");
}

// Copies the lease into a request that can have one.
template <typename Request>
absl::Status FillLease(const Flags& flags, Request& request) {
  if (flags.lease == absl::ZeroDuration() && !flags.until) {
    return flags.on_expiry.empty() ? absl::OkStatus() : UsageError("--on-expiry needs --for or --until");
  }
  v1::Lease& lease = *request.mutable_lease();
  if (flags.until) {
    lease.mutable_until()->set_seconds(absl::ToUnixSeconds(*flags.until));
  } else {
    const absl::Duration whole = absl::Trunc(flags.lease, absl::Seconds(1));
    lease.mutable_duration()->set_seconds(absl::ToInt64Seconds(whole));
    lease.mutable_duration()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(flags.lease - whole)));
  }
  lease.set_on_expiry(flags.on_expiry == "hold" ? v1::ON_EXPIRY_HOLD : v1::ON_EXPIRY_RELEASE);
  return absl::OkStatus();
}

// The terms of a network order.
template <typename Request>
absl::Status FillTerms(const Flags& flags, Request& request) {
  request.set_action(flags.shadow ? v1::POLICY_ACTION_NOTIFY : ActionOf(flags.action));
  request.set_allow_degraded(flags.allow_degraded);
  FillScope(flags.scope, request);
  if (flags.hold_unreachable) request.set_on_unreachable(v1::ON_UNREACHABLE_HOLD);
  return FillLease(flags, request);
}

std::string PolicyLine(const v1::EnforcementPolicy& policy, const std::string& undo) {
  std::string lease;
  if (policy.has_expires_at()) {
    lease = absl::StrCat("lease:  until ", TimeWord(policy.expires_at()), ", then ", Word(policy.on_expiry()), "\n");
  }
  return absl::StrCat("policy: ", policy.name(), " ", policy.id(), "\n", lease, "undo:   ", undo, "\n");
}

// " of unit:nginx.service", or nothing.
std::string OfScope(const Flags& flags) {
  v1::ContainSensorRequest request;
  FillScope(flags.scope, request);
  return request.has_scope() ? absl::StrCat(" of ", ScopeWord(request.scope())) : "";
}

std::string Ordered(const Flags& flags, const std::string& what) {
  const bool shadow = flags.shadow || flags.action == "notify";
  return absl::StrCat(what, OfScope(flags),
                      shadow ? " in shadow ordered: nothing is cut, only counted and listed" : " ordered");
}

// The same order, signed: what is signed is the request.
template <typename Request>
absl::Status SignPolicy(Session& session, const Flags& flags, const Request& request, v1::PolicyTemplate kind) {
  const v1::PolicyAction standard =
      kind == v1::POLICY_TEMPLATE_BLOCK_BINARY ? v1::POLICY_ACTION_SIGKILL : v1::POLICY_ACTION_DENY;
  v1::OrderStatement statement;
  *statement.mutable_policy() = ContentOf(request, kind, standard, session.now());
  return SignAndSubmit(session, flags.sign, flags, flags.allow_degraded, flags.sensor, std::move(statement));
}

absl::Status Contain(Session& session, const Flags& flags) {
  v1::ContainSensorRequest request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  RETURN_IF_ERROR(FillTerms(flags, request));
  if (flags.sign.given()) return SignPolicy(session, flags, request, v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(v1::ContainSensorResponse response,
                   session.Call(&v1::SensorService::Stub::ContainSensor, request, flags.request_id));
  const std::string name = response.sensor().name();
  const std::string text = absl::StrCat(
      response.already_contained() ? absl::StrCat(name, OfScope(flags), " is contained already; nothing changed\n")
                                   : absl::StrCat(name, ": ", Ordered(flags, "containment"), "\n"),
      PolicyLine(response.policy(), absl::StrCat("bulkheadctl sensor release ", name, ScopeArgument(flags.scope))));
  return ReportOrder(session, flags, called, response, *response.mutable_sensor(), response.policy().id(), text);
}

absl::Status Isolate(Session& session, const Flags& flags) {
  v1::IsolateSensorRequest request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  RETURN_IF_ERROR(FillTerms(flags, request));
  if (flags.sign.given()) return SignPolicy(session, flags, request, v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(v1::IsolateSensorResponse response,
                   session.Call(&v1::SensorService::Stub::IsolateSensor, request, flags.request_id));
  const std::string name = response.sensor().name();
  const std::string text = absl::StrCat(
      response.already_isolated() ? absl::StrCat(name, OfScope(flags), " is isolated already; nothing changed\n")
                                  : absl::StrCat(name, ": ", Ordered(flags, "isolation"), "\n"),
      PolicyLine(response.policy(), absl::StrCat("bulkheadctl sensor release ", name, ScopeArgument(flags.scope))));
  return ReportOrder(session, flags, called, response, *response.mutable_sensor(), response.policy().id(), text);
}

void FillOnly(const Flags& flags, v1::ReleaseSensorRequest& request) {
  if (flags.only_containment) request.set_only(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  if (flags.only_isolation) request.set_only(v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
}

// Each of the two is an order of its own. What is not ordered any more may still be in force: the host keeps what was
// taken out of the database without a signature.
absl::Status SignRelease(Session& session, const Flags& flags, const v1::ReleaseSensorRequest& request) {
  if (!flags.sign.out_file.empty() && request.only() == v1::POLICY_TEMPLATE_UNSPECIFIED) {
    return UsageError("--sign-only signs one order: add --only-containment or --only-isolation");
  }
  for (const v1::PolicyTemplate lifted :
       {v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT, v1::POLICY_TEMPLATE_NETWORK_ISOLATION}) {
    if (request.only() != v1::POLICY_TEMPLATE_UNSPECIFIED && request.only() != lifted) continue;
    v1::OrderStatement statement;
    statement.mutable_lift()->set_template_(lifted);
    if (request.has_scope()) *statement.mutable_lift()->mutable_scope() = request.scope();
    OrderFlags order = flags;
    // Two orders are two requests.
    order.request_id = absl::StrCat(flags.request_id, "-", static_cast<int>(lifted));
    RETURN_IF_ERROR(
        SignAndSubmit(session, flags.sign, order, /*allow_degraded=*/false, flags.sensor, std::move(statement)));
  }
  return absl::OkStatus();
}

absl::Status Release(Session& session, const Flags& flags) {
  v1::ReleaseSensorRequest request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  FillScope(flags.scope, request);
  FillOnly(flags, request);
  if (flags.sign.given()) return SignRelease(session, flags, request);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(v1::ReleaseSensorResponse response,
                   session.Call(&v1::SensorService::Stub::ReleaseSensor, request, flags.request_id));
  const std::string name = response.sensor().name();
  const std::string text = response.already_released()
                               ? absl::StrCat(name, OfScope(flags), " had nothing to lift; nothing changed\n")
                               : absl::StrCat(name, ": release", OfScope(flags), " ordered\n");
  return ReportOrder(session, flags, called, response, *response.mutable_sensor(), "", text);
}

// Fills the part of the order that names the file.
absl::Status NameBinary(const Flags& flags, v1::BlockBinary& binary) {
  binary.set_kill_running(flags.kill_running);
  if (flags.block_list.empty() != flags.list_file.empty()) return UsageError("a list is --list NAME with --file FILE");
  if (!flags.block_list.empty()) {
    if (flags.sign.given()) return UsageError("a block-list is ordered without signatures; sign the blocks one by one");
    if (!flags.path.empty() || !flags.sha256.empty()) return UsageError("put the file into the list");
    binary.mutable_list()->set_name(flags.block_list);
    ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.list_file));
    return ParseList(flags.list_file, text, binary.mutable_list());
  }
  if (flags.path.empty() && flags.sha256.empty()) {
    return UsageError("name the file: --path, --sha256 or both; or many: --list NAME --file FILE");
  }
  binary.set_path(flags.path);
  if (!flags.sha256.empty()) {
    ASSIGN_OR_RETURN(*binary.mutable_sha256(), DigestFromHex("--sha256", flags.sha256));
  }
  return absl::OkStatus();
}

// The terms of a block.
absl::Status FillBlock(const Flags& flags, v1::BlockBinaryRequest& request) {
  RETURN_IF_ERROR(NameBinary(flags, *request.mutable_binary()));
  request.set_action(ActionOf(flags.action));
  request.set_force(flags.force);
  request.set_allow_degraded(flags.allow_degraded);
  return FillLease(flags, request);
}

absl::Status BlockBinary(Session& session, const Flags& flags) {
  v1::BlockBinaryRequest request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  RETURN_IF_ERROR(FillBlock(flags, request));
  if (flags.sign.given()) return SignPolicy(session, flags, request, v1::POLICY_TEMPLATE_BLOCK_BINARY);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(v1::BlockBinaryResponse response,
                   session.Call(&v1::SensorService::Stub::BlockBinary, request, flags.request_id));
  const v1::BlockList& list = response.policy().block_binary().list();
  const std::string file = list.size() != 0     ? absl::StrCat("the list ", list.name(), " of ", list.size())
                           : flags.path.empty() ? absl::StrCat("sha256:", flags.sha256)
                                                : flags.path;
  const std::string text = absl::StrCat(
      response.already_blocked() ? absl::StrCat(file, " is blocked already; nothing changed\n")
                                 : absl::StrCat(response.sensor().name(), ": block of ", file, " ordered\n"),
      PolicyLine(response.policy(), absl::StrCat("bulkheadctl policy delete ", response.policy().id())));
  return ReportOrder(session, flags, called, response, *response.mutable_sensor(), response.policy().id(), text);
}

// Fills the list from the flags and the file.
absl::Status NameAllowed(const Flags& flags, v1::AllowList& list) {
  const bool names = !flags.allowed_paths.empty() || !flags.allowed_digests.empty() || !flags.list_file.empty();
  if (flags.learn == names) {
    return UsageError("say what may run (--path, --sha256, --file), or --learn to find out what does");
  }
  list.set_learn(flags.learn);
  list.set_kill_running(flags.kill_running);
  for (const std::string& path : flags.allowed_paths) list.add_binaries()->set_path(path);
  for (const std::string& digits : flags.allowed_digests) {
    ASSIGN_OR_RETURN(*list.add_binaries()->mutable_sha256(), DigestFromHex("--sha256", digits));
  }
  if (flags.list_file.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.list_file));
  return ParseList(flags.list_file, text, &list);
}

absl::Status SetAllowList(Session& session, const Flags& flags) {
  v1::SetAllowListRequest request;
  flags.Fill(request);
  request.set_sensor(flags.sensor);
  FillScope(flags.scope, request);
  if (!request.has_scope()) return UsageError("name the scope: --unit, --cgroup or --container");
  RETURN_IF_ERROR(NameAllowed(flags, *request.mutable_allow_list()));
  request.set_action(ActionOf(flags.action));
  request.set_allow_degraded(flags.allow_degraded);
  RETURN_IF_ERROR(FillLease(flags, request));
  if (flags.sign.given()) return SignPolicy(session, flags, request, v1::POLICY_TEMPLATE_ALLOW_LIST);
  const absl::Time called = absl::Now();
  ASSIGN_OR_RETURN(v1::SetAllowListResponse response,
                   session.Call(&v1::SensorService::Stub::SetAllowList, request, flags.request_id));
  const std::string scope = ScopeWord(request.scope());
  const std::string what =
      flags.learn ? absl::StrCat("learning what runs in ", scope)
                  : absl::StrCat("allow-list of ", response.policy().allow_list().binaries_size(), " for ", scope);
  const std::string next =
      flags.learn ? absl::StrCat("list:   bulkheadctl policy learned ", response.policy().id(), "\n") : std::string();
  const std::string text = absl::StrCat(
      response.already_set() ? absl::StrCat(scope, " has this list already; nothing changed\n")
                             : absl::StrCat(response.sensor().name(), ": ", what, " ordered\n"),
      PolicyLine(response.policy(), absl::StrCat("bulkheadctl policy delete ", response.policy().id())), next);
  return ReportOrder(session, flags, called, response, *response.mutable_sensor(), response.policy().id(), text);
}

CLI::App* AddOrder(CLI::App& sensor, Action& action, const std::string& name, const std::string& help,
                   const std::string& more, const std::shared_ptr<Flags>& flags,
                   absl::Status (*run)(Session&, const Flags&)) {
  CLI::App* verb = AddVerb(sensor, action, name, help, more, flags, run);
  verb->add_option("sensor", flags->sensor, "Name or id")->required()->type_name("SENSOR");
  AddReasonAndEtagFlags(*verb, *flags);
  AddRequestIdFlag(*verb, *flags);
  AddWaitFlags(*verb, *flags, kKernelHasIt);
  AddSignFlags(*verb, flags->sign, *flags);
  return verb;
}

void AddAllowDegraded(CLI::App& verb, Flags& flags) {
  verb.add_flag("--allow-degraded", flags.allow_degraded,
                "Accept that a layer is missing on this host instead of refusing");
}

CLI::Option* AddShadow(CLI::App& verb, Flags& flags) {
  return verb.add_flag("--shadow", flags.shadow,
                       "Cut nothing: count and list what would be cut; see it with bulkheadctl sensor get");
}

// The flags of each order, the same for one sensor and for a rollout.
void AddContainFlags(CLI::App& verb, Flags& flags) {
  AddAction(verb, flags, "deny");
  AddShadow(verb, flags)->excludes("--action");
  AddScopeFlags(verb, flags.scope);
  AddNetworkTerms(verb, flags);
  AddAllowDegraded(verb, flags);
}

void AddIsolateFlags(CLI::App& verb, Flags& flags) {
  AddShadow(verb, flags);
  AddScopeFlags(verb, flags.scope);
  AddNetworkTerms(verb, flags);
  AddAllowDegraded(verb, flags);
}

void AddReleaseFlags(CLI::App& verb, Flags& flags) {
  AddScopeFlags(verb, flags.scope);
  CLI::Option* only = verb.add_flag("--only-containment", flags.only_containment, "Leave isolation as it is");
  verb.add_flag("--only-isolation", flags.only_isolation, "Leave containment as it is")->excludes(only);
}

void AddBlockFlags(CLI::App& verb, Flags& flags) {
  verb.add_option("path,--path", flags.path, "Absolute path; the file need not exist yet")->type_name("PATH");
  verb.add_option("--sha256", flags.sha256, "Content, with or without a path, as sha256sum prints it")
      ->type_name("HEX");
  verb.add_option("--list", flags.block_list, "Block a list of files under this name; another list replaces it")
      ->type_name("NAME");
  verb.add_option("--file", flags.list_file, "The list: one path, digest, or line of sha256sum a line")
      ->type_name("FILE");
  AddAction(verb, flags, "sigkill");
  AddLease(verb, flags);
  verb.add_flag("--kill-running", flags.kill_running, "Also kill the processes that run it already");
  verb.add_flag("--force", flags.force, "Block even a shell, the loader, init or the package manager");
  AddAllowDegraded(verb, flags);
}

void AddNetworkVerbs(CLI::App& sensor, Action& action) {
  const auto contain_flags = std::make_shared<Flags>();
  CLI::App* contain =
      AddOrder(sensor, action, "contain", "Cut everything that the host opens towards others",
               "Does: stop new and established outbound TCP, UDP, ICMP and everything else, IPv4 and IPv6.\n"
               "Does not: stop connections that others open to the host (use isolate), nor local activity.\n"
               "The sensor stays connected. Stays in force when the sensor is killed or the host reboots.\n"
               "Undo: bulkheadctl sensor release SENSOR\n"
               "Example: bulkheadctl sensor contain web-1 --wait --reason \"INC-42: beaconing\"",
               contain_flags, Contain);
  AddContainFlags(*contain, *contain_flags);

  const auto isolate_flags = std::make_shared<Flags>();
  CLI::App* isolate = AddOrder(
      sensor, action, "isolate", "Cut the host off in both directions",
      "Does: drop everything but loopback, the sensor's own stream, and what the isolation rules allow.\n"
      "Does not: stop processes. SSH is cut too unless a rule allows it: see bulkheadctl isolation-rule list.\n"
      "Undo: bulkheadctl sensor release SENSOR\n"
      "Example: bulkheadctl sensor isolate web-1 --wait --reason \"INC-42\"",
      isolate_flags, Isolate);
  AddIsolateFlags(*isolate, *isolate_flags);

  const auto release_flags = std::make_shared<Flags>();
  CLI::App* release =
      AddOrder(sensor, action, "release", "Lift containment and isolation",
               "Does: let traffic through again at once. Connections that were cut are not restored.\n"
               "Does not: lift blocked binaries (bulkheadctl policy delete ID), nor what was ordered for a scope\n"
               "that is not named here with --cgroup, --unit or --container.\n"
               "Undo: bulkheadctl sensor contain SENSOR, or isolate\n"
               "Example: bulkheadctl sensor release web-1 --wait --reason \"INC-42 closed\"",
               release_flags, Release);
  AddReleaseFlags(*release, *release_flags);
}

void AddBlockVerb(CLI::App& sensor, Action& action) {
  const auto block_flags = std::make_shared<Flags>();
  CLI::App* block =
      AddOrder(sensor, action, "block-binary", "Stop one binary from being executed on this host",
               "Does: stop every future execution by path, by file identity (hard links, renames, symlinks) and by\n"
               "content (copies; sensor get shows whether the host's kernel can), and its use as a library.\n"
               "Does not: kill processes that run it already (without --kill-running), nor stop an interpreter that\n"
               "reads a blocked script as data.\n"
               "Undo: bulkheadctl policy delete ID, with the id that is printed\n"
               "Example: bulkheadctl sensor block-binary web-1 --path /tmp/.x/miner --kill-running --wait",
               block_flags, BlockBinary);
  AddBlockFlags(*block, *block_flags);
}

void AddAllowListVerb(CLI::App& sensor, Action& action) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* verb = AddOrder(
      sensor, action, "allow-list", "Let nothing but listed binaries run in a unit, cgroup or container",
      "Does: stop every program, script, memfd and, where the kernel sees it, library that the list does not name.\n"
      "A path is whatever file is there; a digest is the content; a line of --file with both asks for both.\n"
      "Does not: stop what runs already (without --kill-running; sensor get lists it), nor scripts that a listed "
      "interpreter reads as data.\n"
      "First learn: it stops nothing, and bulkheadctl policy learned POLICY prints what ran, as --file takes it.\n"
      "Undo: bulkheadctl policy delete ID, with the id that is printed; another list of the scope replaces it\n"
      "Example: bulkheadctl sensor allow-list web-1 --unit nginx.service --learn\n"
      "         bulkheadctl sensor allow-list web-1 --unit nginx.service --file nginx.list --wait",
      flags, SetAllowList);
  AddScopeFlags(*verb, flags->scope);
  CLI::Option* learn = verb->add_flag("--learn", flags->learn, "Stop nothing; list what runs");
  verb->add_option("--path", flags->allowed_paths, "Absolute path; may be repeated")
      ->type_name("PATH")
      ->excludes(learn);
  verb->add_option("--sha256", flags->allowed_digests, "Content, as sha256sum prints it; may be repeated")
      ->type_name("HEX")
      ->excludes(learn);
  verb->add_option("--file", flags->list_file, "A line each: a path, a digest, or both as sha256sum prints them")
      ->type_name("LIST")
      ->excludes(learn);
  AddAction(*verb, *flags, "deny");
  AddLease(*verb, *flags);
  verb->add_flag("--kill-running", flags->kill_running,
                 "Also kill the processes of the scope that run what the list does not name")
      ->excludes(learn);
  AddAllowDegraded(*verb, *flags);
}

}  // namespace

OrderBuilder AddContainTerms(CLI::App& verb) {
  const auto flags = std::make_shared<Flags>();
  AddContainFlags(verb, *flags);
  return [flags]() -> absl::StatusOr<v1::RolloutOrder> {
    v1::RolloutOrder order;
    RETURN_IF_ERROR(FillTerms(*flags, *order.mutable_contain()));
    return order;
  };
}

OrderBuilder AddIsolateTerms(CLI::App& verb) {
  const auto flags = std::make_shared<Flags>();
  AddIsolateFlags(verb, *flags);
  return [flags]() -> absl::StatusOr<v1::RolloutOrder> {
    v1::RolloutOrder order;
    RETURN_IF_ERROR(FillTerms(*flags, *order.mutable_isolate()));
    return order;
  };
}

OrderBuilder AddReleaseTerms(CLI::App& verb) {
  const auto flags = std::make_shared<Flags>();
  AddReleaseFlags(verb, *flags);
  return [flags]() -> absl::StatusOr<v1::RolloutOrder> {
    v1::RolloutOrder order;
    FillScope(flags->scope, *order.mutable_release());
    FillOnly(*flags, *order.mutable_release());
    return order;
  };
}

OrderBuilder AddBlockBinaryTerms(CLI::App& verb) {
  const auto flags = std::make_shared<Flags>();
  AddBlockFlags(verb, *flags);
  return [flags]() -> absl::StatusOr<v1::RolloutOrder> {
    v1::RolloutOrder order;
    RETURN_IF_ERROR(FillBlock(*flags, *order.mutable_block_binary()));
    return order;
  };
}

void AddSensorOrderVerbs(CLI::App& sensor, Action& action) {
  AddNetworkVerbs(sensor, action);
  AddAllowListVerb(sensor, action);
  AddBlockVerb(sensor, action);
}

}  // namespace bulkhead::controlplane::cli
