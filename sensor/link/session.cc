// One stream.
#include "sensor/link/session.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "sensor/link/channel.h"
#include "sensor/link/convert_in.h"
#include "sensor/link/convert_out.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMostWaiting = 256;

}  // namespace

Session::Session(std::shared_ptr<grpc::Channel> channel, std::string address)
    : stub_(v1::SensorLinkService::NewStub(std::move(channel))), address_(std::move(address)), outbox_(kMostWaiting) {}

LinkDown Session::Run(const HelloMessage& hello, const Sink& sink) {
  const std::unique_ptr<Stream> stream = stub_->Connect(&context_);
  outbox_.Push(HelloToProto(hello));
  std::thread writer([this, &stream] { WriteAll(stream.get()); });
  std::optional<LinkDown> goodbye;
  v1::ConnectResponse message;
  while (!goodbye.has_value() && stream->Read(&message)) {
    LinkDown said;
    const absl::Status status = Handle(message, sink, &said);
    if (!said.status.ok()) goodbye = std::move(said);
    if (!status.ok()) Close(status);
  }
  if (goodbye.has_value()) Close(goodbye->status);
  outbox_.Close();
  writer.join();
  LinkDown down = DownFromStatus(stream->Finish());
  if (goodbye.has_value()) return *std::move(goodbye);
  absl::MutexLock lock(&mutex_);
  if (!closed_.ok()) down = LinkDown{closed_};
  return down;
}

bool Session::Send(const OutgoingMessage& message) {
  return outbox_.Push(MessageToProto(message));
}

void Session::Close(const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_.ok()) return;
    closed_ = why;
  }
  context_.TryCancel();
}

void Session::WriteAll(Stream* stream) {
  while (std::optional<v1::ConnectRequest> message = outbox_.Pop()) {
    if (!stream->Write(*message)) return;
    // After a goodbye nothing follows; the control plane ends the stream when it has read everything.
    if (message->has_goodbye()) {
      stream->WritesDone();
      return;
    }
  }
}

absl::Status Session::Handle(const v1::ConnectResponse& message, const Sink& sink, LinkDown* goodbye) {
  ASSIGN_OR_RETURN(LinkMessage converted, MessageFromProto(message, address_, absl::Now()));
  if (auto* down = std::get_if<LinkDown>(&converted); down != nullptr) {
    *goodbye = std::move(*down);
    return absl::OkStatus();
  }
  if (std::holds_alternative<LinkWelcome>(converted) == welcomed_) {
    return absl::InvalidArgumentError(welcomed_ ? "the control plane sent Welcome twice"
                                                : "the control plane did not open the stream with Welcome");
  }
  welcomed_ = true;
  sink(std::move(converted));
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
