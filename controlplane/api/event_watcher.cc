// What a watcher of events sends, and where it goes on.
#include "controlplane/api/event_watcher.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/event_service.pb.h"
#include "common/log.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/event_filter.h"
#include "controlplane/api/watch_hub.h"
#include "controlplane/domain/page_token.h"

namespace bulkhead::controlplane {
namespace {

// At once; a stream's queue holds 256.
constexpr int kBatch = 100;
// A caller who hears nothing gets a newer token now and then, or the one that it has would grow old.
constexpr absl::Duration kTokenInterval = absl::Seconds(30);

std::string ListOf(EventFilter filter) {
  filter.since.reset();  // in the token's keys
  return absl::StrCat("watch-events/", filter.Key());
}

absl::Status NotAToken() {
  return InvalidField("resume_token", "is not a resume_token of this watch with these filters; watch anew, with since");
}

}  // namespace

EventWatcher::EventWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller,
                           std::shared_ptr<StreamSession> stream)
    : Watcher(api, caller, std::move(stream), "events:read"), hub_(hub), strand_(api->workers) {}

void EventWatcher::OnMessage(std::string bytes) {
  {
    absl::MutexLock lock(&mutex_);
    request_ = std::move(bytes);
    asked_ = true;
  }
  Wake();
}

void EventWatcher::OnDrained() {
  Wake();
}

void EventWatcher::OnEnded() {
  hub_->Remove(this);
}

void EventWatcher::OnChange(const std::string& changed) {
  if (changed == kEventsChange) Wake();
}

void EventWatcher::OnSweep() {
  Wake();
}

void EventWatcher::Wake() {
  // No room among the workers: nothing is lost, the next sweep wakes it again.
  strand_.Wake([self = shared_from_this()] { self->Step(); });
}

void EventWatcher::Step() {
  std::string request;
  {
    absl::MutexLock lock(&mutex_);
    if (!asked_ || !stream_->idle() || stream_->closed()) return;
    request.swap(request_);
  }
  absl::Status status = begun_ ? CheckCaller() : Begin(request);
  if (status.ok()) status = SendNext();
  if (status.ok()) return;
  LogInfo("watch ended", {{"caller", caller_.name}, {"error", status.ToString()}});
  End(status);
}

absl::Status EventWatcher::Begin(const std::string& bytes) {
  v1::WatchEventsRequest request;
  RETURN_IF_ERROR(ParseStrictly(bytes, &request));
  ASSIGN_OR_RETURN(filter_, EventFilterOf(*api_, request));
  begun_ = true;
  if (request.resume_token().empty()) {
    if (request.has_since()) return absl::OkStatus();  // from the very first
    ASSIGN_OR_RETURN(cursor_, api_->store->EndOfEvents());
    return absl::OkStatus();
  }
  if (request.has_since())
    return InvalidField("since", "must not be given with resume_token, which says where to go on");
  const auto keys = DecodePageToken(ListOf(filter_), 3, request.resume_token());
  int64_t since = 0;
  if (!keys.ok() || keys->size() != 3 || !absl::SimpleAtoi((*keys)[0], &cursor_.transaction) ||
      !absl::SimpleAtoi((*keys)[1], &cursor_.id) || (!(*keys)[2].empty() && !absl::SimpleAtoi((*keys)[2], &since))) {
    return NotAToken();
  }
  if (!(*keys)[2].empty()) filter_.since = absl::FromUnixMicros(since);
  return absl::OkStatus();
}

absl::Status EventWatcher::SendNext() {
  const EventCursor before = cursor_;
  ASSIGN_OR_RETURN(const std::vector<StoredEvent> events, api_->store->FollowEvents(filter_, kBatch, &cursor_));
  const EventCursor after = std::exchange(cursor_, before);
  for (const StoredEvent& event : events) {
    cursor_ = {event.transaction, event.id};
    v1::WatchEventsResponse response;
    *response.mutable_event() = ToProto(event);
    response.set_resume_token(Token());
    stream_->Send(response.SerializeAsString());
  }
  cursor_ = after;
  if (!events.empty()) return absl::OkStatus();
  const absl::Time now = api_->clock->Now();
  if (now < next_token_) return absl::OkStatus();
  next_token_ = now + kTokenInterval;
  v1::WatchEventsResponse response;
  response.set_resume_token(Token());
  stream_->Send(response.SerializeAsString());
  return absl::OkStatus();
}

std::string EventWatcher::Token() const {
  return EncodePageToken(ListOf(filter_), {absl::StrCat(cursor_.transaction), absl::StrCat(cursor_.id),
                                           filter_.since ? absl::StrCat(absl::ToUnixMicros(*filter_.since)) : ""});
}

}  // namespace bulkhead::controlplane
