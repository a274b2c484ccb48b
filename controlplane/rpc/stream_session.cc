// The state machine of one stream: queue, one write in flight, one Finish.
#include "controlplane/rpc/stream_session.h"

#include <utility>

#include "absl/time/clock.h"

namespace bulkhead::controlplane {

bool StreamSession::Send(std::string message) {
  absl::MutexLock lock(&mutex_);
  if (closing_ || transport_ == nullptr) return false;
  if (queue_.size() >= max_queued_) {
    queue_.clear();
    CloseLocked(
        grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too slow: messages to this peer are not being read"),
        absl::Now());
    return false;
  }
  queue_.push_back(std::move(message));
  AdvanceLocked();
  return true;
}

void StreamSession::RequestRead() {
  absl::MutexLock lock(&mutex_);
  if (closing_ || reading_ || transport_ == nullptr) return;
  reading_ = true;
  transport_->StartRead();
}

void StreamSession::Close(const grpc::Status& status, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  CloseLocked(status, now);
}

void StreamSession::EnforceClose(absl::Duration grace, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  // Either way: the two times may be of clocks that differ.
  if (!closing_ || finished_ || transport_ == nullptr || absl::AbsDuration(now - closed_at_) < grace) return;
  transport_->Cancel();
}

bool StreamSession::closed() const {
  absl::MutexLock lock(&mutex_);
  return closing_ || transport_ == nullptr;
}

bool StreamSession::idle() const {
  absl::MutexLock lock(&mutex_);
  return !writing_ && queue_.empty();
}

size_t StreamSession::queued() const {
  absl::MutexLock lock(&mutex_);
  return queue_.size();
}

void StreamSession::OnReadDone() {
  absl::MutexLock lock(&mutex_);
  reading_ = false;
}

void StreamSession::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (!ok) {
    // The peer cannot be reached any more. Without a Finish here gRPC would keep the call for ever.
    queue_.clear();
    CloseLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the peer went away"), absl::Now());
  }
  AdvanceLocked();
}

void StreamSession::OnCancelled() {
  absl::MutexLock lock(&mutex_);
  queue_.clear();
  CloseLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the peer went away"), absl::Now());
}

void StreamSession::Detach() {
  absl::MutexLock lock(&mutex_);
  transport_ = nullptr;
  queue_.clear();
}

void StreamSession::CloseLocked(const grpc::Status& status, absl::Time now) {
  if (closing_) return;
  closing_ = true;
  closed_at_ = now;
  status_ = status;
  AdvanceLocked();
}

void StreamSession::AdvanceLocked() {
  if (writing_ || finished_ || transport_ == nullptr) return;
  if (!queue_.empty()) {
    writing_ = true;
    const std::string message = std::move(queue_.front());
    queue_.pop_front();
    transport_->StartWrite(message);
  } else if (closing_) {
    finished_ = true;
    transport_->Finish(status_);
  }
}

}  // namespace bulkhead::controlplane
