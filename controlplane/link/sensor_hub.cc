// The registry of streams and its ticking thread.
#include "controlplane/link/sensor_hub.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr absl::Duration kSweepInterval = absl::Seconds(5);
// The one that is used, those that are being superseded, and some that the sensor has forgotten behind a cut network.
constexpr int kMaxStreamsOfSensor = 8;

}  // namespace

SensorHub::SensorHub(LinkContext context)
    : context_(std::move(context)), heartbeats_(context_.store), ticker_([this] { Loop(); }) {}

SensorHub::~SensorHub() {
  StopTicking();
}

void SensorHub::StopTicking() {
  pause_.Stop();
  if (ticker_.joinable()) ticker_.join();
}

void SensorHub::AddMethods(MethodTable& table) {
  table.Add("/bulkhead.v1.SensorLinkService/Connect",
            {.access = Access::kSensor,
             .unary = nullptr,
             .stream = [this](const Caller& caller,
                              std::shared_ptr<StreamSession> stream) { return Open(caller, std::move(stream)); },
             .workers = context_.workers});
}

absl::StatusOr<std::shared_ptr<StreamHandler>> SensorHub::Open(const Caller& caller,
                                                               std::shared_ptr<StreamSession> stream) {
  auto session = std::make_shared<SensorSession>(&context_, this, caller, std::move(stream));
  absl::MutexLock lock(&mutex_);
  if (shutting_down_) return absl::UnavailableError("this replica is shutting down; reconnect");
  if (sessions_.size() >= context_.max_streams) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this replica holds ", context_.max_streams, " sensor streams already; try another"));
  }
  int& of_sensor = streams_of_[session->sensor_id()];
  if (of_sensor >= kMaxStreamsOfSensor) {
    return absl::ResourceExhaustedError("this sensor opens streams faster than they end; wait and reconnect");
  }
  ++of_sensor;
  sessions_[session.get()] = session;
  return session;
}

void SensorHub::OnChange(const std::string& sensor_id) {
  if (sensor_id.empty()) {
    for (const auto& session : Sessions()) session->Refresh();
    return;
  }
  std::shared_ptr<SensorSession> session;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = by_sensor_.find(sensor_id);
    if (found != by_sensor_.end()) session = found->second;
  }
  if (session) session->Refresh();
}

bool SensorHub::Attach(const std::shared_ptr<SensorSession>& session) {
  std::shared_ptr<SensorSession> older;
  {
    absl::MutexLock lock(&mutex_);
    std::shared_ptr<SensorSession>& current = by_sensor_[session->sensor_id()];
    if (current && current->epoch() > session->epoch()) return false;
    older = std::exchange(current, session);
  }
  if (older) older->End(v1::GOODBYE_REASON_SUPERSEDED, StreamSuperseded());
  return true;
}

void SensorHub::Detach(const SensorSession* session) {
  absl::MutexLock lock(&mutex_);
  const auto found = by_sensor_.find(session->sensor_id());
  if (found != by_sensor_.end() && found->second.get() == session) by_sensor_.erase(found);
  if (sessions_.erase(session) == 0) return;
  const auto count = streams_of_.find(session->sensor_id());
  if (--count->second == 0) streams_of_.erase(count);
  detached_.Wake();
}

void SensorHub::Shutdown(absl::Duration limit) {
  {
    absl::MutexLock lock(&mutex_);
    shutting_down_ = true;
  }
  for (const auto& session : Sessions()) {
    session->End(v1::GOODBYE_REASON_SHUTDOWN, absl::UnavailableError("this replica is shutting down; reconnect"));
  }
  const Deadline deadline(limit);
  while (size() > 0 && deadline.Left() > absl::ZeroDuration()) detached_.For(deadline.Left());
  heartbeats_.Stop();
  StopTicking();
}

bool SensorHub::shutting_down() const {
  absl::MutexLock lock(&mutex_);
  return shutting_down_;
}

size_t SensorHub::size() const {
  absl::MutexLock lock(&mutex_);
  return sessions_.size();
}

size_t SensorHub::queued() const {
  size_t queued = 0;
  for (const auto& session : Sessions()) queued += session->queued();
  return queued;
}

void SensorHub::Loop() {
  absl::Duration since_sweep = absl::ZeroDuration();
  while (pause_.For(kTick)) {
    since_sweep += kTick;
    const auto sessions = Sessions();
    for (const auto& session : sessions) session->Tick();
    if (sessions.empty() || since_sweep < kSweepInterval || sweeping_.exchange(true)) continue;
    since_sweep = absl::ZeroDuration();
    if (!context_.workers->Post([this] { Sweep(); })) sweeping_ = false;
  }
}

void SensorHub::Sweep() {
  std::map<std::string, std::shared_ptr<SensorSession>> stale;
  {
    absl::MutexLock lock(&mutex_);
    stale = by_sensor_;
  }
  const absl::StatusOr<std::vector<HeldStream>> held = context_.store->ListHeldStreams(context_.run_id);
  if (!held.ok()) {
    LogWarning("sweep over sensor streams failed", {{"error", held.status().ToString()}});
  } else {
    for (const HeldStream& stream : *held) {
      const auto found = stale.find(stream.owner.sensor_id);
      if (found == stale.end()) continue;
      const bool current = stream.trust == Trust::kTrusted && stream.owner.epoch == found->second->epoch() &&
                           stream.generation == found->second->known_generation() && !stream.queued_commands;
      if (current) stale.erase(found);
    }
    // What is left has something to be sent, or was deleted, revoked or taken over: the refresh finds out which.
    for (const auto& [id, session] : stale) session->Refresh();
    if (context_.observer) context_.observer->OnSweep(stale.size());
  }
  sweeping_ = false;
}

std::vector<std::shared_ptr<SensorSession>> SensorHub::Sessions() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<SensorSession>> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [key, session] : sessions_) sessions.push_back(session);
  return sessions;
}

}  // namespace bulkhead::controlplane
