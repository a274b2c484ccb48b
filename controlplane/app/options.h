// What the operator of the control plane asked for: command line and configuration file, checked.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log.h"

namespace bulkhead::controlplane {

enum class CommandLineCommand {
  kServe,
  kInit,
  kIssueOperator,
  kMigrate,
  kCheckConfig,
  kCaStatus,
  kCaRotateBegin,
  kCaRotateFinish
};

// Every field is valid once OptionsFromCommandLine has returned it.
struct Options {
  CommandLineCommand command = CommandLineCommand::kServe;

  std::string state_directory =
      "/var/lib/bulkhead-controlplane";                      // absolute; holds ca/, tls/ and, by default, postgres/
  std::string postgres;                                      // "embedded:DIR" or "postgresql://…"
  std::string postgres_listen;                               // "postgresql://…" without a pooler, or empty
  std::vector<std::string> listen = {"0.0.0.0:7443"};        // ADDR:PORT, numeric; port 0: any free one
  std::string metrics_listen;                                // the same for /metrics and /healthz; empty: nowhere
  std::vector<std::string> server_names;                     // DNS names and addresses in the server's certificate
  absl::Duration heartbeat_interval = absl::Seconds(30);     // 1 s to 1 h, whole seconds
  absl::Duration heartbeat_retention = absl::Hours(24 * 7);  // at least the interval
  absl::Duration event_retention = absl::Hours(24 * 30);     // 1 to 3650 days
  int event_limit = 10'000;  // events of one kind stored for a sensor in a day, 1 to 10 million
  absl::Duration sensor_certificate_life = absl::Hours(24 * 30);  // 1 h to 1 year
  absl::Duration max_stream_age = absl::Hours(6);                 // 10 s to 30 days
  int max_streams = 20'000;                                       // of sensors, 1 to 1 million
  int accept_rate = 150;                                          // connections a second, 1 to 100000
  int accept_rate_per_address = 100;                              // the same, from one address
  int peer_call_rate = 1000;                                      // calls a second of one identity, 1 to 100000
  int peer_calls = 64;                                            // calls and watches of one at once, 1 to 10000
  std::string order_keys;                                         // file; empty: only sensors want orders signed
  std::string replica_id;                                         // unique among replicas
  LogLevel log_level = LogLevel::kInfo;
  bool log_json = false;

  // migrate only.
  std::string runtime_role;  // the database role that `serve` connects as; empty: the one that migrates

  // issue-operator only.
  std::string operator_name;
  std::string operator_role;
  std::string out_directory;
  std::string advertised_server;  // HOST:PORT written into the client's configuration file
  absl::Duration operator_certificate_life = absl::Hours(24 * 365);

  // ca rotate-begin and rotate-finish only.
  std::string reason;  // for the audit log
  bool force = false;  // finish without waiting for sensors and replicas
};

// Set when the command line asked for text instead of work (--help, --version): print `text` and leave with
// `exit_code`. The same for a command line that is wrong.
struct EarlyExit {
  std::string text;
  int exit_code = 0;
};

// The certificate authority of this replica; see pki/ca_directory.h.
std::string CaDirectory(const Options& options);
// What the store remembers of the database servers it has met.
std::string TimelineFile(const Options& options);

// Reads flags, then the YAML file that --config names (same keys as the long flags; flags win). An EarlyExit with exit
// code 2 says which option is wrong and what would be right.
std::variant<Options, EarlyExit> OptionsFromCommandLine(int argc, const char* const* argv);

}  // namespace bulkhead::controlplane
