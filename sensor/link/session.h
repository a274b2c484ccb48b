// One stream: a reader (the caller's thread), a writer thread, one write in flight.
#pragma once

#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/link/outbox.h"

namespace bulkhead::sensor {

// Uses gRPC's synchronous client: its callback client sleeps up to 100 ms when idle, which would delay a pushed order.
// Run is called once, on one thread; Send and Close are thread safe.
class Session {
 public:
  using Sink = std::function<void(LinkMessage)>;

  // `address` is told in LinkWelcome.
  Session(std::shared_ptr<grpc::Channel> channel, std::string address);

  // Dials, writes `hello`, and passes what comes to `sink` until the stream ends. Returns why it ended; LinkDown itself
  // is not passed to `sink`. A stream that does not open with Welcome, or that breaks the protocol later, ends.
  LinkDown Run(const HelloMessage& hello, const Sink& sink);

  // False: the queue is full or the stream is over.
  bool Send(const OutgoingMessage& message);

  // Ends the stream with `why`. The first call counts.
  void Close(const absl::Status& why);

  // True once Welcome has come.
  bool welcomed() const { return welcomed_; }

 private:
  using Stream = grpc::ClientReaderWriterInterface<v1::ConnectRequest, v1::ConnectResponse>;

  void WriteAll(Stream* stream);
  // Passes one message on. Not OK ends the stream with this status.
  absl::Status Handle(const v1::ConnectResponse& message, const Sink& sink, LinkDown* goodbye);

  const std::unique_ptr<v1::SensorLinkService::Stub> stub_;
  const std::string address_;
  grpc::ClientContext context_;
  Outbox outbox_;
  bool welcomed_ = false;  // reader only
  absl::Mutex mutex_;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::sensor
