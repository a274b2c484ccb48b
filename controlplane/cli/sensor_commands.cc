// bulkheadctl sensor list, get and watch: those verbs that only look.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/follow_watch.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 500;

struct ListFlags {
  std::string prefix;
  std::string selector;
  std::vector<std::string> health;
  std::vector<std::string> convergence;
  std::string contained;  // "yes", "no" or empty
  std::string isolated;
};

struct GetFlags {
  std::string sensor;
};

struct WatchFlags {
  std::vector<std::string> sensors;
  std::string resume;
};

// The filters of `flags`, whose words the command line has checked.
v1::ListSensorsRequest RequestFor(const ListFlags& flags) {
  v1::ListSensorsRequest request;
  request.set_page_size(kPageSize);
  request.set_name_prefix(flags.prefix);
  request.set_label_selector(flags.selector);
  for (const std::string& word : flags.health) {
    v1::Health health = v1::HEALTH_UNSPECIFIED;
    v1::Health_Parse(absl::StrCat("HEALTH_", absl::AsciiStrToUpper(word)), &health);
    request.add_health(health);
  }
  for (const std::string& word : flags.convergence) {
    // "unknown" is the one that the proto calls unspecified.
    v1::ConvergenceState state = v1::CONVERGENCE_STATE_UNSPECIFIED;
    v1::ConvergenceState_Parse(absl::StrCat("CONVERGENCE_STATE_", absl::AsciiStrToUpper(word)), &state);
    request.add_convergence(state);
  }
  if (!flags.contained.empty()) request.set_is_contained(flags.contained == "yes");
  if (!flags.isolated.empty()) request.set_is_isolated(flags.isolated == "yes");
  return request;
}

absl::Status List(Session& session, const ListFlags& flags) {
  v1::ListSensorsRequest request = RequestFor(flags);
  v1::ListSensorsResponse all;
  RETURN_IF_ERROR(ForEachPage(
      [&](const std::string& token) {
        request.set_page_token(token);
        return session.Call(&v1::SensorService::Stub::ListSensors, request);
      },
      [&](const v1::ListSensorsResponse& page) { all.mutable_sensors()->MergeFrom(page.sensors()); }));
  return session.Print(all, RenderSensors(all, session.now()));
}

absl::Status Get(Session& session, const GetFlags& flags) {
  v1::GetSensorRequest request;
  request.set_sensor(flags.sensor);
  ASSIGN_OR_RETURN(const v1::GetSensorResponse response, session.Call(&v1::SensorService::Stub::GetSensor, request));
  return session.Print(response, RenderSensor(response.sensor(), session.now()));
}

// One line, or one JSON object or YAML document, for each change.
absl::Status Show(Session& session, const v1::WatchSensorsResponse& change) {
  if (change.bookmark()) return absl::OkStatus();
  if (session.format != OutputFormat::kTable) return session.PrintChange(change);
  session.terminal().out << RenderWatchLine(change, session.now()) << std::flush;
  return absl::OkStatus();
}

absl::Status Watch(Session& session, const WatchFlags& flags) {
  RETURN_IF_ERROR(session.Connect());
  v1::SensorService::Stub stub(session.channel());
  v1::WatchSensorsRequest request;
  for (const std::string& sensor : flags.sensors) request.add_sensors(sensor);
  request.set_resume_token(flags.resume);
  // For their tokens: a fleet where nothing happens is to be gone on with, too.
  request.set_bookmarks(true);
  if (session.format == OutputFormat::kTable) session.terminal().out << RenderWatchHeader() << std::flush;
  while (true) {
    const absl::Status ended = FollowWatch<v1::WatchSensorsResponse>(
        session, request,
        [&](grpc::ClientContext* context, const auto& from_there) { return stub.WatchSensors(context, from_there); },
        [&](const v1::WatchSensorsResponse& change) { return Show(session, change); });
    // The database cannot tell any more what changed since the token: everything as it is now instead.
    if (!absl::IsOutOfRange(ended)) return ended;
    session.terminal().err << ended.message() << "\nevery sensor follows as it is now\n";
    request.clear_resume_token();
  }
}

}  // namespace

void AddSensorViewVerbs(CLI::App& sensor, Action& action) {
  const auto list_flags = std::make_shared<ListFlags>();
  CLI::App* list =
      AddVerb(sensor, action, "list", "List sensors: what was ordered beside what their kernels enforce",
              "GENERATION is what the kernel has / what was ordered; they are equal when STATE is synced.\n"
              "Example: bulkheadctl sensor list --prefix web-",
              list_flags, List);
  list->add_option("--prefix", list_flags->prefix, "Only names that start with this")->type_name("TEXT");
  list->add_option("--selector", list_flags->selector,
                   "Only those whose labels match: key=value, key!=value, key, !key, separated by commas")
      ->type_name("SELECTOR");
  list->add_option("--health", list_flags->health, "Only these: healthy, degraded, offline, critical; comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember({"healthy", "degraded", "offline", "critical"}));
  list->add_option("--convergence", list_flags->convergence,
                   "Only these: unknown, synced, pending, failed, drifted, partial; comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember({"unknown", "synced", "pending", "failed", "drifted", "partial"}));
  list->add_option("--contained", list_flags->contained, "Only those for which containment is, or is not, ordered")
      ->check(CLI::IsMember({"yes", "no"}));
  list->add_option("--isolated", list_flags->isolated, "The same for isolation")->check(CLI::IsMember({"yes", "no"}));

  const auto get_flags = std::make_shared<GetFlags>();
  CLI::App* get = AddVerb(
      sensor, action, "get", "Show one sensor in full: orders, kernel, evidence, strength, health",
      "Changes nothing. \"receipt\" is read back from the kernel; bpftool shows the same program and link ids.\n"
      "Example: bulkheadctl sensor get web-1",
      get_flags, Get);
  get->add_option("sensor", get_flags->sensor, "Name or id")->required()->type_name("SENSOR");

  const auto watch_flags = std::make_shared<WatchFlags>();
  CLI::App* watch =
      AddVerb(sensor, action, "watch", "Print the state of sensors now, then each change, until interrupted",
              "Goes on when a replica ends. With -o json each change is one line, with a resumeToken.\n"
              "Example: bulkheadctl sensor watch web-1 web-2",
              watch_flags, Watch);
  watch->add_option("sensors", watch_flags->sensors, "Names or ids; none: all")->type_name("SENSOR");
  watch->add_option("--resume", watch_flags->resume, "Only what changed after the line that had this resumeToken")
      ->type_name("TOKEN");
}

void AddSensorCommands(CLI::App& root, Action& action) {
  CLI::App* sensor = root.add_subcommand("sensor", "Hosts, and every order that can be given to one");
  sensor->require_subcommand(1);
  AddSensorViewVerbs(*sensor, action);
  AddSensorOrderVerbs(*sensor, action);
  AddSensorKillVerb(*sensor, action);
  AddSensorGuardVerbs(*sensor, action);
  AddSensorRecordVerbs(*sensor, action);
}

}  // namespace bulkhead::controlplane::cli
