// The command line's grammar, the defaults that depend on the machine, and the checks.
#include "controlplane/app/options.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "controlplane/app/listen_address.h"
#include "controlplane/app/yaml_config.h"
#include "controlplane/domain/roles.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kUsageExitCode = 2;
constexpr char kEmbeddedPrefix[] = "embedded:";

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

// A check that reads a duration such as "30s" or "7d" and keeps it within limits.
CLI::Validator DurationIn(absl::Duration least, absl::Duration most, absl::Duration* out) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        std::string hours = text;
        int64_t days = 0;
        // absl knows no days.
        if (absl::EndsWith(text, "d") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days))
          hours = absl::StrCat(days * 24, "h");
        if (!absl::ParseDuration(hours, out) || *out < least || *out > most) {
          return absl::StrCat("\"", text, "\" must be a duration such as 30s, 10m, 12h or 7d, from ",
                              absl::FormatDuration(least), " to ", absl::FormatDuration(most));
        }
        return "";
      },
      "DURATION");
}

std::string CheckPostgresUrl(const std::string& text) {
  if (absl::StartsWith(text, "postgresql://") || absl::StartsWith(text, "postgres://")) return "";
  return absl::StrCat("\"", text, "\" must be postgresql://USER@HOST/DATABASE");
}

std::string CheckPostgres(const std::string& text) {
  if (absl::StartsWith(text, "embedded:/")) return "";
  if (CheckPostgresUrl(text).empty()) return "";
  return absl::StrCat("\"", text, "\" must be embedded:/ABSOLUTE/DIRECTORY or postgresql://USER@HOST/DATABASE");
}

std::string CheckAbsolute(const std::string& path) {
  return absl::StartsWith(path, "/") ? "" : absl::StrCat("\"", path, "\" must be an absolute path");
}

std::string CheckListen(const std::string& text) {
  const auto address = ListenAddress::Parse(text);
  return address.ok() ? "" : std::string(address.status().message());
}

std::string CheckOperatorName(const std::string& name) {
  const absl::Status status = ValidateOperatorName("--name", name);
  return status.ok() ? "" : std::string(status.message());
}

// CLI11 shows `message` after the option's name.
CLI::Validator Check(std::string (*check)(const std::string&), const char* type) {
  return CLI::Validator([check](std::string& text) { return check(text); }, type);
}

struct Parser {
  Options options;
  CLI::App app{"Bulkhead's control plane: holds the desired state of the fleet and sends it to every sensor.",
               "bulkhead-controlplane"};
  std::string log_level = "info";
  std::string log_format = "text";
  // Where the duration checks leave what they read; CLI11 stores the text beside it.
  std::string heartbeat_text, retention_text, event_retention_text, sensor_life_text, operator_life_text,
      stream_age_text;

  void AddCommon();
  void AddCommands();
  void AddMigrate();
  void AddIssueOperator();
  void AddCa();
};

void Parser::AddCommon() {
  app.set_version_flag("--version", std::string("bulkhead-controlplane " BULKHEAD_VERSION));
  app.set_config("--config", "", "YAML file with any of these options");
  app.config_formatter(MakeYamlConfig());
  app.allow_config_extras(false);
  app.fallthrough();
  app.require_subcommand(1);
  app.add_option("--state", options.state_directory,
                 "Directory of the CA, the server's certificate and the embedded database")
      ->check(Check(CheckAbsolute, "DIR"))
      ->capture_default_str();
  app.add_option("--postgres", options.postgres,
                 "embedded:DIR runs a private PostgreSQL there; postgresql://… uses yours. Default: embedded in the "
                 "state directory")
      ->check(Check(CheckPostgres, "WHERE"));
  app.add_option("--postgres-listen", options.postgres_listen,
                 "postgresql://… of the same database without a pooler, for notifications, which a pooler in "
                 "transaction mode loses. Default: as --postgres")
      ->check(Check(CheckPostgresUrl, "URL"));
  app.add_option("--listen", options.listen, "Where sensors and operators connect, ADDR:PORT; several may be given")
      ->check(Check(CheckListen, "ADDR:PORT"))
      ->capture_default_str();
  app.add_option("--metrics-listen", options.metrics_listen,
                 "Where /metrics, /healthz and /readyz are served, ADDR:PORT, as plain HTTP to whoever reaches it. "
                 "Default: nowhere")
      ->check(Check(CheckListen, "ADDR:PORT"));
  app.add_option("--server-name", options.server_names,
                 "DNS names and addresses under which this server is reached, for its certificate. Default: this "
                 "host's name and loopback");
  app.add_option("--heartbeat-interval", heartbeat_text, "How often sensors report (default 30s)")
      ->check(DurationIn(absl::Seconds(1), absl::Hours(1), &options.heartbeat_interval));
  app.add_option("--heartbeat-retention", retention_text, "How long the history of heartbeats is kept (default 7d)")
      ->check(DurationIn(absl::Hours(1), absl::Hours(24 * 3650), &options.heartbeat_retention));
  app.add_option("--event-retention", event_retention_text, "How long events of sensors are kept (default 30d)")
      ->check(DurationIn(absl::Hours(24), absl::Hours(24 * 3650), &options.event_retention));
  app.add_option("--event-limit", options.event_limit,
                 "Events of one kind that are stored for one sensor in a day; more are counted")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--sensor-certificate-life", sensor_life_text,
                 "How long a sensor's certificate lasts; it is renewed at half of it (default 30d)")
      ->check(DurationIn(absl::Hours(1), absl::Hours(24 * 365), &options.sensor_certificate_life));
  app.add_option("--max-stream-age", stream_age_text,
                 "Age at which a sensor's stream is ended, so that sensors spread over replicas again (default 6h)")
      ->check(DurationIn(absl::Seconds(10), absl::Hours(24 * 30), &options.max_stream_age));
  app.add_option("--max-streams", options.max_streams, "Sensor streams that this replica holds at most")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--accept-rate", options.accept_rate,
                 "Connections that are accepted a second; more wait. A core does about 280 handshakes")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--accept-rate-per-address", options.accept_rate_per_address,
                 "Connections a second from one address; more are reset. Behind a load balancer, as --accept-rate")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--peer-call-rate", options.peer_call_rate,
                 "Calls a second of one operator's or sensor's certificate; more are refused")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--peer-calls", options.peer_calls, "Calls and watches of one certificate at once; more are refused")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option(
         "--order-keys", options.order_keys,
         "File of operators' keys as the sensors have it: refuses orders that lack signatures at once, and keeps "
         "them as proposals until they have all. Default: only the sensors look")
      ->check(Check(CheckAbsolute, "FILE"));
  app.add_option("--replica-id", options.replica_id,
                 "Unique name of this replica. Default: host name and a random part");
  app.add_option("--log-level", log_level, "Least level that is written")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", log_format, "Form of a log line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void Parser::AddCommands() {
  const std::pair<const char*, std::pair<CommandLineCommand, const char*>> commands[] = {
      {"serve", {CommandLineCommand::kServe, "Run the control plane until SIGTERM"}},
      {"init", {CommandLineCommand::kInit, "Make the certificate authority in the state directory"}},
      {"check-config", {CommandLineCommand::kCheckConfig, "Check options and configuration file and leave"}},
  };
  for (const auto& [name, what] : commands) {
    app.add_subcommand(name, what.second)->callback([this, command = what.first] { options.command = command; });
  }
  AddMigrate();
  AddIssueOperator();
  AddCa();
}

void Parser::AddCa() {
  CLI::App* ca = app.add_subcommand("ca", "Rotate the certificate authority without downtime");
  ca->require_subcommand(1);
  ca->add_subcommand("status", "Roots, and who has not moved to the newest")->callback([this] {
    options.command = CommandLineCommand::kCaStatus;
  });
  CLI::App* begin = ca->add_subcommand("rotate-begin", "Make a new root beside the one in use; both are trusted then");
  begin->callback([this] { options.command = CommandLineCommand::kCaRotateBegin; });
  CLI::App* finish = ca->add_subcommand("rotate-finish", "Take the old root out of trust, once everybody has moved");
  finish->callback([this] { options.command = CommandLineCommand::kCaRotateFinish; });
  finish->add_flag("--force", options.force, "Do not wait: sensors that have not moved must enroll again");
  for (CLI::App* verb : {begin, finish}) {
    verb->add_option("--reason", options.reason, "Why, for the audit log");
  }
}

void Parser::AddMigrate() {
  CLI::App* migrate = app.add_subcommand("migrate", "Bring the database's schema up to date and leave");
  migrate->callback([this] { options.command = CommandLineCommand::kMigrate; });
  migrate->add_option("--runtime-role", options.runtime_role,
                      "Database role that `serve` connects as. It gets what it needs and cannot change the audit log");
}

void Parser::AddIssueOperator() {
  CLI::App* issue =
      app.add_subcommand("issue-operator", "Make an operator's identity and the configuration file for bulkheadctl");
  issue->callback([this] { options.command = CommandLineCommand::kIssueOperator; });
  issue->add_option("--name", options.operator_name, "Operator's name, for the audit log")
      ->required()
      ->check(Check(CheckOperatorName, "NAME"));
  issue->add_option("--role", options.operator_role, "viewer, operator, admin, or a role that was made (role create)")
      ->required();
  issue->add_option("--out", options.out_directory, "Directory to write key.pem, cert.pem, ca.pem and config.yaml into")
      ->required();
  issue->add_option(
      "--server", options.advertised_server,
      "HOST:PORT for the configuration file. Default: the first server name and the port of the first --listen");
  issue->add_option("--life", operator_life_text, "How long the certificate lasts (default 365d)")
      ->check(DurationIn(absl::Hours(1), absl::Hours(24 * 3650), &options.operator_certificate_life));
}

void FillDefaults(Options& options) {
  const std::string host = HostName();
  if (options.postgres.empty()) options.postgres = absl::StrCat(kEmbeddedPrefix, options.state_directory, "/postgres");
  if (options.server_names.empty()) {
    options.server_names = {host, "localhost", "127.0.0.1", "::1"};
  }
  if (options.replica_id.empty()) options.replica_id = absl::StrCat(host, "-", ToHex(RandomBytes(4)));
  if (options.advertised_server.empty()) {
    const auto address = ListenAddress::Parse(options.listen.front());
    const std::string& name = options.server_names.front();
    const std::string bracketed = absl::StrContains(name, ":") ? absl::StrCat("[", name, "]") : name;
    options.advertised_server = absl::StrCat(bracketed, ":", address.ok() ? address->port : 0);
  }
}

}  // namespace

std::string CaDirectory(const Options& options) {
  return absl::StrCat(options.state_directory, "/ca");
}

std::string TimelineFile(const Options& options) {
  return absl::StrCat(options.state_directory, "/database-timeline");
}

std::variant<Options, EarlyExit> OptionsFromCommandLine(int argc, const char* const* argv) {
  Parser parser;
  parser.AddCommon();
  parser.AddCommands();
  try {
    parser.app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    const bool version = asked.get_name() == "CallForVersion";
    return EarlyExit{.text = version ? absl::StrCat(asked.what(), "\n") : parser.app.help(), .exit_code = 0};
  } catch (const CLI::Error& error) {
    return EarlyExit{.text = absl::StrCat(error.what(), "\nRun with --help for every option.\n"),
                     .exit_code = kUsageExitCode};
  }
  ParseLogLevel(parser.log_level, &parser.options.log_level);
  parser.options.log_json = parser.log_format == "json";
  FillDefaults(parser.options);
  return std::move(parser.options);
}

}  // namespace bulkhead::controlplane
