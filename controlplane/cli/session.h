// What every command works with: the terminal, the output format, and calls to the control plane.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/access_service.grpc.pb.h"
#include "bulkhead/v1/audit.grpc.pb.h"
#include "bulkhead/v1/certificate_service.grpc.pb.h"
#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "bulkhead/v1/event_service.grpc.pb.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "controlplane/cli/call_error.h"
#include "controlplane/cli/connection.h"
#include "controlplane/cli/message_text.h"
#include "controlplane/cli/terminal.h"
#include "grpcpp/client_context.h"

namespace bulkhead::controlplane::cli {

// Makes a channel from flags that may still need the configuration file.
using Connector = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(ConnectionOptions& options)>;

// One run of bulkheadctl. Connects at the first call. Not thread safe.
class Session {
 public:
  Session(Terminal& terminal, Connector connector) : terminal_(terminal), connector_(std::move(connector)) {}

  Terminal& terminal() { return terminal_; }
  absl::Time now() const { return terminal_.clock.Now(); }

  // Set by the parser before a command runs.
  ConnectionOptions connection;
  OutputFormat format = OutputFormat::kTable;

  // How long one call may take; an operator at a prompt gives up later than this.
  static constexpr absl::Duration kCallTimeout = absl::Seconds(15);

  // Calls a method of a generated stub: Call(&v1::SensorService::Stub::GetSensor, request).
  // On failure the message is DescribeCallError's. `request_id` is that of an order, else empty.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, const std::string& request_id = "",
                                absl::Duration timeout = kCallTimeout) {
    const absl::Status connected = Connect();
    if (!connected.ok()) return connected;
    Stub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return DescribeCallError(status, {connection.server, request_id});
    return response;
  }

  // Reads the configuration and makes the channel, once.
  absl::Status Connect();
  // Valid after Connect().
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Prints one message of a stream: a JSON object on a line, or a YAML document. Not for tables.
  absl::Status PrintChange(const google::protobuf::Message& message);
  // Prints `message` as JSON or YAML, or `text` when the format is a table.
  absl::Status Print(const google::protobuf::Message& message, const std::string& text);

 private:
  Terminal& terminal_;
  Connector connector_;
  std::shared_ptr<grpc::Channel> channel_;
};

// What a parsed command line asks for.
using Action = std::function<absl::Status(Session&)>;

// Fetches every page: `fetch(page_token)` gives a response with next_page_token, `append(response)` keeps what is in
// it.
template <typename Fetch, typename Append>
absl::Status ForEachPage(Fetch fetch, Append append) {
  std::string token;
  do {
    auto page = fetch(token);
    if (!page.ok()) return page.status();
    token = page->next_page_token();
    append(*page);
  } while (!token.empty());
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane::cli
