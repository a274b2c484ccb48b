// bulkheadctl as a function: arguments in, exit code out.
#include "controlplane/cli/cli.h"

#include <map>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/completion.h"
#include "controlplane/cli/outcome.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr char kAbout[] =
    "bulkheadctl: contain, isolate and release Linux hosts, and see proof that their kernels obey.";
constexpr char kMore[] =
    "Start with:  bulkheadctl sensor list\n"
    "Contain:     bulkheadctl sensor contain NAME --wait --reason WHY      undo: bulkheadctl sensor release NAME "
    "--wait\n"
    "Each verb has its own --help: what it does, what it does not, how to undo it.\n"
    "Exit codes:  0 done, 1 error, 2 wrong usage, 3 stored but not confirmed by the kernel (with --wait),\n"
    "             4 rollout halted, 5 rollout cancelled (with --wait)";
constexpr char kColumns = 34;

const std::map<std::string, OutputFormat>& Formats() {
  static const std::map<std::string, OutputFormat> kFormats = {
      {"table", OutputFormat::kTable}, {"json", OutputFormat::kJson}, {"yaml", OutputFormat::kYaml}};
  return kFormats;
}

void AddGlobalOptions(CLI::App& root, Session& session) {
  root.add_option("--server", session.connection.server, "Control plane")->type_name("HOST:PORT");
  root.add_option("--ca", session.connection.ca, "PEM file with the CA to trust")->type_name("FILE");
  root.add_option("--cert", session.connection.cert, "PEM file with the operator's certificate")->type_name("FILE");
  root.add_option("--key", session.connection.key, "PEM file with its key")->type_name("FILE");
  root.add_option("--config", session.connection.config,
                  "File with server, ca, cert and key (default: $BULKHEAD_CONFIG, then ~/.config/bulkhead/config.yaml)")
      ->type_name("FILE");
  root.add_option_function<std::string>(
          "-o,--output",
          [&session](const std::string& word) {
            const auto format = Formats().find(word);
            if (format == Formats().end()) throw CLI::ValidationError("--output", "write table, json or yaml");
            session.format = format->second;
          },
          "How to print (default table)")
      ->type_name("table|json|yaml");
}

void AddOwnCommands(CLI::App& root, Action& action) {
  const auto print = [&action](const std::string& text) {
    action = [text](Session& session) {
      session.terminal().out << text;
      return absl::OkStatus();
    };
  };
  CLI::App* completion = root.add_subcommand("completion", "Print a script that completes commands, names and ids");
  completion->require_subcommand(1);
  CLI::App* bash = completion->add_subcommand("bash", "For bash");
  bash->footer("Example: source <(bulkheadctl completion bash)");
  bash->callback([print] { print(kBashCompletion); });
  root.add_subcommand("version", "Print the version")->callback([print] {
    print("bulkheadctl " BULKHEAD_VERSION "\n");
  });
}

// The path of commands that was parsed, such as "bulkheadctl sensor contain", for a hint.
std::string ParsedPath(const CLI::App& root) {
  std::string path = root.get_name();
  for (const CLI::App* app = &root; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    absl::StrAppend(&path, " ", app->get_name());
  }
  return path;
}

}  // namespace

int RunCli(const std::vector<std::string>& args, Terminal& terminal, const Connector& connector) {
  Session session(terminal, connector);
  Action action;
  CLI::App root(kAbout, "bulkheadctl");
  root.footer(kMore);
  root.get_formatter()->column_width(kColumns);
  root.fallthrough();
  root.require_subcommand(1);
  AddGlobalOptions(root, session);
  AddSensorCommands(root, action);
  AddPolicyCommands(root, action);
  AddIsolationRuleCommands(root, action);
  AddTokenCommands(root, action);
  AddRoleCommands(root, action);
  AddOperatorCommands(root, action);
  AddTrustCommands(root, action);
  AddAuditCommands(root, action);
  AddEventCommands(root, action);
  AddCommandCommands(root, action);
  AddRolloutCommands(root, action);
  AddKeyCommands(root, action);
  AddProposalCommands(root, action);
  AddOwnCommands(root, action);

  if (args.size() >= 2 && args[0] == "__complete" && args[1] == "--") {
    for (const std::string& word : Complete(root, session, {args.begin() + 2, args.end()}))
      terminal.out << word << "\n";
    return kExitOk;
  }
  try {
    root.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::Success& help) {
    return root.exit(help, terminal.out, terminal.err);
  } catch (const CLI::ParseError& error) {
    terminal.err << "error: " << error.what() << "\n  to do: see " << ParsedPath(root) << " --help\n";
    return kExitUsage;
  }
  const absl::Status status = action(session);
  if (!status.ok()) terminal.err << "error: " << status.message() << "\n";
  return ExitCodeOf(status);
}

}  // namespace bulkhead::controlplane::cli
