// bulkheadctl sensor kill: one process, a tree, those that run a file, those of a scope.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/allow_list_file.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/scope_flags.h"
#include "controlplane/cli/signing.h"
#include "controlplane/cli/wait.h"

namespace bulkhead::controlplane::cli {
namespace {

struct KillFlags : OrderFlags {
  std::string sensor;
  int64_t pid = 0;
  int64_t tree = 0;
  std::string path;
  std::string sha256;  // hexadecimal digits
  ScopeFlags scope;
  uint64_t start_time = 0;
  std::string boot_id;
  std::string executable;
  absl::Duration ttl;
  SignFlags sign;

  bool names_pid() const { return pid != 0 || tree != 0; }
  bool names_file() const { return !path.empty() || !sha256.empty(); }
  bool names_scope() const { return !ScopeArgument(scope).empty(); }
};

absl::Status CheckFlags(const KillFlags& flags) {
  if ((flags.pid != 0) + (flags.tree != 0) + flags.names_file() + flags.names_scope() != 1) {
    return UsageError(
        "say whom to kill in one way: a PID, --tree PID, --file PATH (with or without --sha256), --unit, --cgroup or "
        "--container");
  }
  const int64_t pid = flags.pid != 0 ? flags.pid : flags.tree;
  if (flags.names_pid() && pid <= 1) {
    return UsageError(
        absl::StrCat("pid ", pid, " is never killed: 1 is init, and a kill of 0 or less would reach many processes"));
  }
  const bool identifies = flags.start_time != 0 || !flags.boot_id.empty() || !flags.executable.empty();
  if (identifies && !flags.names_pid())
    return UsageError("--exe, --start-time and --boot-id say more about a pid: give PID or --tree");
  return absl::OkStatus();
}

template <typename Request>
void FillOrder(const KillFlags& flags, Request* request) {
  request->set_sensor(flags.sensor);
  request->set_reason(flags.reason);
  request->set_request_id(flags.request_id);
  if (flags.ttl != absl::ZeroDuration()) request->mutable_ttl()->set_seconds(absl::ToInt64Seconds(flags.ttl));
}

void FillProcess(const KillFlags& flags, int64_t pid, v1::ProcessIdentity* process) {
  process->set_pid(static_cast<uint32_t>(pid));
  process->set_start_time_ticks(flags.start_time);
  process->set_boot_id(flags.boot_id);
  process->set_executable(flags.executable);
}

// Waits if asked, then prints.
template <typename Response>
absl::Status Report(Session& session, const KillFlags& flags, Response* response) {
  absl::Status confirmed;
  if (flags.wait) {
    const auto command = WaitForCommand(session, response->command().id(), flags.timeout);
    confirmed = command.status();
    if (command.ok()) *response->mutable_command() = *command;
  }
  // A kill that failed prints itself in the error; a script still gets the response.
  if (!confirmed.ok() && session.format == OutputFormat::kTable) return confirmed;
  RETURN_IF_ERROR(session.Print(*response, RenderCommand(response->command())));
  return confirmed;
}

// A signed kill names the boot and the moment itself: nobody fills them in later.
absl::Status SignKill(Session& session, const KillFlags& flags, v1::OrderStatement statement) {
  v1::ProcessIdentity* const process = statement.has_kill_process() ? statement.mutable_kill_process()
                                       : statement.kill_group().has_tree()
                                           ? statement.mutable_kill_group()->mutable_tree()
                                           : nullptr;
  if (process != nullptr) {
    const int64_t micros = absl::ToUnixMicros(session.now());
    process->mutable_not_started_after()->set_seconds(micros / 1000000);
    process->mutable_not_started_after()->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
    if (process->boot_id().empty()) {
      v1::GetSensorRequest request;
      request.set_sensor(flags.sensor);
      ASSIGN_OR_RETURN(const auto found, session.Call(&v1::SensorService::Stub::GetSensor, request));
      process->set_boot_id(found.sensor().host().boot_id());
    }
  }
  SignFlags sign = flags.sign;
  if (sign.valid_for == absl::ZeroDuration()) sign.valid_for = flags.ttl;
  return SignAndSubmit(session, sign, flags, /*allow_degraded=*/false, flags.sensor, std::move(statement));
}

absl::Status KillGroup(Session& session, const KillFlags& flags) {
  v1::KillProcessesRequest request;
  FillOrder(flags, &request);
  v1::KillGroup& group = *request.mutable_group();
  if (flags.tree != 0) FillProcess(flags, flags.tree, group.mutable_tree());
  if (flags.names_file()) {
    group.mutable_file()->set_path(flags.path);
    if (!flags.sha256.empty()) {
      ASSIGN_OR_RETURN(*group.mutable_file()->mutable_sha256(), DigestFromHex("--sha256", flags.sha256));
    }
  }
  FillScope(flags.scope, group);
  if (flags.sign.given()) {
    v1::OrderStatement statement;
    *statement.mutable_kill_group() = group;
    return SignKill(session, flags, std::move(statement));
  }
  ASSIGN_OR_RETURN(v1::KillProcessesResponse response,
                   session.Call(&v1::SensorService::Stub::KillProcesses, request, flags.request_id));
  return Report(session, flags, &response);
}

absl::Status Kill(Session& session, const KillFlags& flags) {
  RETURN_IF_ERROR(CheckFlags(flags));
  if (flags.pid == 0) return KillGroup(session, flags);
  v1::KillProcessRequest request;
  FillOrder(flags, &request);
  FillProcess(flags, flags.pid, request.mutable_process());
  if (flags.sign.given()) {
    v1::OrderStatement statement;
    *statement.mutable_kill_process() = request.process();
    return SignKill(session, flags, std::move(statement));
  }
  ASSIGN_OR_RETURN(v1::KillProcessResponse response,
                   session.Call(&v1::SensorService::Stub::KillProcess, request, flags.request_id));
  return Report(session, flags, &response);
}

void AddTargets(CLI::App& kill, KillFlags& flags) {
  kill.add_option("pid", flags.pid, "Process id on the host, 2 or more")->type_name("PID");
  kill.add_option("--tree", flags.tree, "This process and all its descendants, also those made meanwhile")
      ->type_name("PID");
  kill.add_option("--file", flags.path, "Whoever runs this file (absolute path), by whatever name, also if deleted")
      ->type_name("PATH");
  kill.add_option("--sha256", flags.sha256, "Whoever runs this content; with --file both must hold")->type_name("HEX");
  AddScopeFlags(kill, flags.scope);
  kill.add_option("--exe", flags.executable, "Only if this is the pid's executable (absolute path)")->type_name("PATH");
  kill.add_option("--start-time", flags.start_time, "Only if it started then: field 22 of /proc/PID/stat")
      ->type_name("TICKS");
  kill.add_option("--boot-id", flags.boot_id, "Only in this boot (default: the one the sensor reported last)")
      ->type_name("UUID");
}

}  // namespace

void AddSensorKillVerb(CLI::App& sensor, Action& action) {
  const auto flags = std::make_shared<KillFlags>();
  CLI::App* kill = AddVerb(
      sensor, action, "kill", "Kill one process or several, at most once, with a stored result",
      "Does: send SIGKILL to the process that has this pid now; one that gets the pid later is not touched. Or\n"
      "to a tree, to whoever runs a file, or to all of a unit, cgroup or container, until nobody is left.\n"
      "Does not: kill pid 1, kernel threads, the sensor or its ancestors. A daemon that left a tree before the\n"
      "order is not in it: use --file or --unit. Cannot be undone, and does not keep a file from being run\n"
      "again: see sensor block-binary.\n"
      "Example: bulkheadctl sensor kill web-1 4711 --exe /tmp/.x/miner --wait\n"
      "         bulkheadctl sensor kill web-1 --tree 4711 --wait\n"
      "         bulkheadctl sensor kill web-1 --file /tmp/.x/miner --wait\n"
      "         bulkheadctl sensor kill web-1 --unit cron.service --wait",
      flags, Kill);
  kill->add_option("sensor", flags->sensor, "Name or id")->required()->type_name("SENSOR");
  AddTargets(*kill, *flags);
  AddDuration(*kill, "--ttl", flags->ttl,
              "How long the order is good for if the sensor is away, 1s to 336h (default 5m)");
  kill->add_option("--reason", flags->reason, "Why, for the audit log")->type_name("TEXT");
  AddRequestIdFlag(*kill, *flags);
  AddWaitFlags(*kill, *flags, "there is a result");
  AddSignFlags(*kill, flags->sign, *flags);
}

}  // namespace bulkhead::controlplane::cli
