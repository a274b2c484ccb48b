// The two rules that every gRPC stream must keep (one write in flight, Finish exactly once), kept in one place.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

namespace bulkhead::controlplane {

// One call as its handler sees it: send, ask for the next message, close. Thread safe; every method may be called at
// any time, also after the call has ended. It outlives the call, so a handler may keep it.
class StreamSession {
 public:
  // What the session drives: a gRPC reactor, or a fake in a test. Called under the session's lock, so it must not call
  // back from inside.
  class Transport {
   public:
    virtual ~Transport() = default;
    virtual void StartRead() = 0;
    virtual void StartWrite(const std::string& message) = 0;
    virtual void Finish(const grpc::Status& status) = 0;
    // Ends the call at once, without waiting for the peer.
    virtual void Cancel() = 0;
  };

  // `max_queued` bounds the messages that wait behind the one in flight.
  StreamSession(Transport* transport, size_t max_queued) : transport_(transport), max_queued_(max_queued) {}

  // Queues a serialized message. A peer that is too slow to keep the queue within its bound is closed with
  // RESOURCE_EXHAUSTED. False when the message will not be sent.
  bool Send(std::string message) ABSL_LOCKS_EXCLUDED(mutex_);

  // Asks for the next message from the peer. At most one request is outstanding; more are ignored.
  void RequestRead() ABSL_LOCKS_EXCLUDED(mutex_);

  // Sends what is queued, then ends the call with `status`. The first status counts.
  void Close(const grpc::Status& status, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends a call at once when its Close has waited for `grace` because the peer does not read.
  void EnforceClose(absl::Duration grace, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // True once Close was called or the peer has gone.
  bool closed() const ABSL_LOCKS_EXCLUDED(mutex_);
  // True when nothing is queued or in flight: a handler that produces on demand may send the next message.
  bool idle() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Messages that wait behind the one in flight.
  size_t queued() const ABSL_LOCKS_EXCLUDED(mutex_);

  // From the transport.
  void OnReadDone() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) ABSL_LOCKS_EXCLUDED(mutex_);
  // The peer is gone; what is queued is dropped.
  void OnCancelled() ABSL_LOCKS_EXCLUDED(mutex_);
  // The transport is about to be destroyed; nothing of it is used any more.
  void Detach() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void CloseLocked(const grpc::Status& status, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or finishes when closing and nothing is left.
  void AdvanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  Transport* transport_ ABSL_GUARDED_BY(mutex_);
  const size_t max_queued_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time closed_at_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::controlplane
