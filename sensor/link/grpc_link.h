// The link over gRPC: resolves, dials one of the control planes, and holds the stream.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/link/resolver.h"

namespace bulkhead::sensor {

class Session;

struct GrpcLinkOptions {
  std::vector<HostPort> control_planes;  // any of them will do
  std::vector<ResolvedHost> known;       // what earlier runs resolved
  absl::Duration resolve_timeout = absl::Seconds(5);
  std::function<double()> uniform;  // in [0, 1): spreads sensors over addresses
};

// One thread of its own, which is the stream's reader, and the session's writer.
class GrpcLink : public ControlPlaneLink {
 public:
  // `sink` gets what comes, on the link's thread. It must return once the owner shuts down, or the destructor waits for
  // it.
  GrpcLink(GrpcLinkOptions options, std::function<void(LinkMessage)> sink);
  // Ends the stream and waits for the thread.
  ~GrpcLink() override;

  void Connect(const Credentials& credentials) override;
  void Open(const HelloMessage& hello) override;
  bool Send(const OutgoingMessage& message) override;
  void Close(const absl::Status& why) override;

 private:
  // What the loop has asked for in this attempt.
  struct Attempt {
    Credentials credentials;
    std::optional<HelloMessage> hello;
    absl::Status closed;
  };
  struct Candidate {
    HostPort name;
    ControlPlaneEndpoint endpoint;
  };

  void Work();
  bool WaitForAttempt(Credentials* credentials);
  LinkDown RunAttempt(const Credentials& credentials);
  absl::StatusOr<HelloMessage> WaitForHello();
  LinkDown RunSession(const Candidate& candidate, const Credentials& credentials, const HelloMessage& hello,
                      bool* welcomed);
  std::vector<Candidate> Shuffle(const std::vector<ResolvedHost>& hosts);

  bool HasAttempt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || attempt_.has_value(); }
  bool HasHello() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || attempt_->hello.has_value() || !attempt_->closed.ok();
  }

  const GrpcLinkOptions options_;
  const std::function<void(LinkMessage)> sink_;
  Resolver resolver_;  // worker only
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Attempt> attempt_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mutex_);
  std::thread worker_;  // last: it uses everything above
};

}  // namespace bulkhead::sensor
