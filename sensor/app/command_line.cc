// The command line of bulkhead-sensor.
#include "sensor/app/command_line.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/app/commands.h"
#include "sensor/app/options.h"
#include "sensor/app/order_keys_file.h"
#include "sensor/app/sensor.h"

namespace bulkhead::sensor {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

// Everything that flags can set.
struct Flags {
  std::string config;
  RawOptions raw;
  EnrollOptions enroll;
  LowerGuardOptions lower;
  bool force = false;
};

void AddCommonFlags(CLI::App* app, Flags* flags) {
  app->add_option("--config", flags->config, "Options file in YAML; flags win over it")->type_name("FILE");
  app->add_option("--state", flags->raw.state_dir, "State directory (default /var/lib/bulkhead-sensor)")
      ->type_name("DIR");
  app->add_option("--log-level", flags->raw.log_level, "debug, info, warning or error")->type_name("LEVEL");
  app->add_option("--log-format", flags->raw.log_format, "text or json")->type_name("FORMAT");
}

void AddKernelFlags(CLI::App* app, Flags* flags) {
  app->add_option("--scope", flags->raw.scope, "Enforce for this cgroup v2 directory only (default: the whole host)")
      ->type_name("CGROUP");
  app->add_option("--bpffs", flags->raw.bpffs,
                  "Where the bpf file system is, or is to be mounted (default /sys/fs/bpf)")
      ->type_name("DIR");
}

void AddRunFlags(CLI::App* app, Flags* flags) {
  app->add_option(
         "--control-plane", flags->raw.control_planes,
         "Where the control plane listens; give it several times for several replicas (default: where the host "
         "was enrolled)")
      ->type_name("HOST:PORT");
  app->add_option("--policy-file", flags->raw.policy_file,
                  "Enforce this bulkhead.v1.DesiredState (YAML or JSON) without a control plane")
      ->type_name("FILE");
  app->add_option("--tamper-guard", flags->raw.tamper_guard,
                  "Keep root on this host from stopping, changing or removing the sensor (default off)")
      ->type_name("on|off");
  app->add_option(
         "--ring-sockets", flags->raw.ring_sockets,
         "Processes with a socket that works past a wall (AF_XDP, the ring of a packet socket): kill them when "
         "the wall goes up, or only report them (default kill)")
      ->type_name("kill|report");
  app->add_option("--order-keys", flags->raw.order_keys,
                  "Refuse orders without the operators' signatures that this file asks for (default: none are needed)")
      ->type_name("FILE");
}

void AddLowerGuardFlags(CLI::App* app, Flags* flags) {
  app->add_option("--code", flags->lower.code,
                  "The one-time code (visible to others in ps; left out, it is read from standard input)")
      ->type_name("CODE");
  app->add_option("--for", flags->lower.duration, "How long the guard stays down, 1s to 1h (default 10m)")
      ->type_name("DURATION");
}

void AddEnrollFlags(CLI::App* app, Flags* flags) {
  app->add_option("--control-plane", flags->enroll.control_plane, "Where the control plane listens")
      ->type_name("HOST:PORT")
      ->required();
  app->add_option("--ca", flags->enroll.ca_file, "The control plane's CA, PEM")->type_name("FILE")->required();
  app->add_option("--token", flags->enroll.token, "Enrollment token (visible to others in ps; prefer --token-file)");
  app->add_option("--token-file", flags->enroll.token_file, "File that holds the enrollment token")->type_name("FILE");
  app->add_option("--name", flags->enroll.name, "Name of the sensor (default: the host's name)");
  app->add_flag("--force", flags->enroll.force, "Replace an identity that exists");
}

absl::StatusOr<Options> LoadOptions(const Flags& flags) {
  RawOptions file;
  if (!flags.config.empty()) {
    ASSIGN_OR_RETURN(file, ReadOptionsFile(flags.config));
  }
  ASSIGN_OR_RETURN(Options options, CheckOptions(file, flags.raw));
  options.config_file = flags.config;
  ConfigureLog(options.log_level, options.log_json);
  return options;
}

absl::Status RunSensor(const Options& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Sensor> sensor, Sensor::Create(options));
  return sensor->Run();
}

// The kernel takes a process of the sensor's program in the sensor's cgroup for the sensor, whatever it was told to do.
absl::Status DispatchUnguarded(const std::string& name, const Options& options, const Flags& flags) {
  RETURN_IF_ERROR(RequireGuardDown(options));
  if (name == "enroll") return EnrollHost(options, flags.enroll);
  if (name == "restore") return RestoreStoredState(options);
  if (name == "features") return PrintFeatures(options);
  if (name == "uninstall") return Uninstall(options, flags.force);
  return absl::OkStatus();  // check-stop
}

absl::Status Dispatch(const std::string& name, const Options& options, const Flags& flags) {
  if (name == "run") return RunSensor(options);
  if (name == "status") return PrintStatus(options);
  if (name == "lower-guard") return LowerGuardByCode(options, flags.lower);
  if (name == "check-config" && !options.order_keys.empty()) {
    RETURN_IF_ERROR(ReadOrderKeys(options.order_keys).status());
  }
  if (name != "check-config") return DispatchUnguarded(name, options, flags);
  std::cout << "options are valid\n";  // LoadOptions has checked them
  return absl::OkStatus();
}

// Whom the guard refuses something gets the kernel's words; these say what to do.
absl::Status Explain(const absl::Status& status, const Options& options) {
  if (!absl::IsPermissionDenied(status)) return status;
  const absl::Status guard = RequireGuardDown(options);
  return guard.ok() ? status : absl::PermissionDeniedError(absl::StrCat(status.message(), ": ", guard.message()));
}

void BuildCommandLine(CLI::App* app, Flags* flags) {
  app->require_subcommand(1);
  app->set_version_flag("--version", BULKHEAD_VERSION);
  CLI::App* run = app->add_subcommand(
      "run", "Enforce what the control plane orders, until SIGTERM. Enforcement outlives the sensor.");
  CLI::App* enroll = app->add_subcommand("enroll", "Exchange an enrollment token for this host's identity.");
  CLI::App* restore =
      app->add_subcommand("restore", "Enforce the stored desired state and end; for early boot, before the network.");
  CLI::App* status = app->add_subcommand("status", "Show who this sensor is and what the kernel enforces.");
  CLI::App* check = app->add_subcommand("check-config", "Check options file and flags; change nothing.");
  CLI::App* features = app->add_subcommand("features", "Show what this host can enforce, as JSON.");
  CLI::App* lower = app->add_subcommand(
      "lower-guard", "Lower the tamper guard for a while with the one-time offline code, when no order can come.");
  CLI::App* check_stop =
      app->add_subcommand("check-stop", "Say whether the sensor can be stopped now, and if not, what to do.");
  CLI::App* uninstall = app->add_subcommand("uninstall",
                                            "Remove everything from the kernel. Refused while the host is contained or "
                                            "isolated, unless --force, and while the tamper guard is up.");
  for (CLI::App* sub : {run, enroll, restore, status, check, features, lower, check_stop, uninstall}) {
    AddCommonFlags(sub, flags);
  }
  for (CLI::App* sub : {run, restore, status, check, features, check_stop, uninstall}) AddKernelFlags(sub, flags);
  for (CLI::App* sub : {run, check}) AddRunFlags(sub, flags);
  AddEnrollFlags(enroll, flags);
  AddLowerGuardFlags(lower, flags);
  uninstall->add_flag("--force", flags->force, "Lift containment and isolation too");
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App app("Bulkhead sensor: contains this host when the control plane says so.", "bulkhead-sensor");
  Flags flags;
  BuildCommandLine(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // also --help and --version, which are not errors
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  const absl::StatusOr<Options> options = LoadOptions(flags);
  if (!options.ok()) {
    std::cerr << "bulkhead-sensor: " << options.status().message() << "\n";
    return kWrongUsage;
  }
  const absl::Status status = Explain(Dispatch(app.get_subcommands().front()->get_name(), *options, flags), *options);
  if (status.ok()) return 0;
  std::cerr << "bulkhead-sensor: " << status.message() << "\n";
  return kFailed;
}

}  // namespace bulkhead::sensor
