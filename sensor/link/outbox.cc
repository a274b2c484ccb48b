// Messages that wait to be written to the stream.
#include "sensor/link/outbox.h"

#include <utility>

namespace bulkhead::sensor {

bool Outbox::Push(v1::ConnectRequest message) {
  absl::MutexLock lock(&mutex_);
  if (closed_) return false;
  if (message.has_heartbeat()) {
    for (v1::ConnectRequest& waiting : messages_) {
      if (!waiting.has_heartbeat()) continue;
      waiting = std::move(message);
      return true;
    }
  }
  if (messages_.size() >= capacity_) return false;
  messages_.push_back(std::move(message));
  return true;
}

std::optional<v1::ConnectRequest> Outbox::Pop() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &Outbox::HasWork));
  if (closed_) return std::nullopt;
  v1::ConnectRequest message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

void Outbox::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  messages_.clear();
}

}  // namespace bulkhead::sensor
