// bulkheadctl command get: what became of a kill.
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/order.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/wait.h"

namespace bulkhead::controlplane::cli {
namespace {

struct Flags : OrderFlags {
  std::string id;
};

absl::Status Get(Session& session, const Flags& flags) {
  if (flags.wait) RETURN_IF_ERROR(WaitForCommand(session, flags.id, flags.timeout).status());
  v1::GetCommandRequest request;
  request.set_id(flags.id);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::SensorService::Stub::GetCommand, request));
  return session.Print(response, RenderCommand(response.command()));
}

}  // namespace

void AddCommandCommands(CLI::App& root, Action& action) {
  CLI::App* command = root.add_subcommand("command", "Orders that happen once: kills and their results");
  command->require_subcommand(1);
  const auto flags = std::make_shared<Flags>();
  CLI::App* get = AddVerb(*command, action, "get", "Show a command and its result",
                          "queued: not yet sent. delivered: the sensor has it. succeeded, failed, expired: final.\n"
                          "Example: bulkheadctl command get 0b6f1c1e-5d0c-4b5e-9d6e-0c8f6d1f3a77 --wait",
                          flags, Get);
  get->add_option("id", flags->id, "Id of the command")->required()->type_name("COMMAND");
  AddWaitFlags(*get, *flags, "there is a result");
}

}  // namespace bulkhead::controlplane::cli
