// A watch that goes on where it broke off: at another replica, or at the same one when it is back.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/cli/call_error.h"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

// `open(context, request)` begins a stream of `Response`s; `show(response)` deals with one and returns a status. Ends
// when the other side ends the stream for another reason than its own end, when nobody reads the output any more, or
// with what `show` refuses. Without a resume_token from an answer or from the caller there is no place to go on from:
// an error.
template <typename Response, typename Request, typename Open, typename Show>
absl::Status FollowWatch(Session& session, Request request, Open open, Show show) {
  constexpr absl::Duration kReconnectDelay = absl::Milliseconds(300);
  while (true) {
    grpc::ClientContext context;
    const std::unique_ptr<grpc::ClientReader<Response>> reader = open(&context, request);
    Response response;
    absl::Status shown;
    while (shown.ok() && session.terminal().out && reader->Read(&response)) {
      shown = show(response);
      // Where a watch begins is said once: by the caller, and then by the token.
      if constexpr (requires { request.clear_since(); }) request.clear_since();
      if (!response.resume_token().empty()) request.set_resume_token(response.resume_token());
    }
    const bool closed = !shown.ok() || !session.terminal().out;
    if (closed) context.TryCancel();
    const grpc::Status ended = reader->Finish();
    if (closed) return shown;
    if (ended.error_code() != grpc::StatusCode::UNAVAILABLE || request.resume_token().empty()) {
      return ended.ok() ? absl::OkStatus() : DescribeCallError(ended, {session.connection.server, ""});
    }
    absl::SleepFor(kReconnectDelay);
  }
}

}  // namespace bulkhead::controlplane::cli
