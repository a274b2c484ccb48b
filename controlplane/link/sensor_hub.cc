// The registry of streams and its ticking thread.
#include "controlplane/link/sensor_hub.h"

#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr absl::Duration kSweepInterval = absl::Seconds(5);
constexpr int kSweepPage = 1000;

}  // namespace

SensorHub::SensorHub(LinkContext context) : context_(std::move(context)), ticker_([this] { Loop(); }) {}

SensorHub::~SensorHub() {
  StopTicking();
}

void SensorHub::StopTicking() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
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

void SensorHub::Attach(const std::shared_ptr<SensorSession>& session) {
  std::shared_ptr<SensorSession> older;
  {
    absl::MutexLock lock(&mutex_);
    std::shared_ptr<SensorSession>& current = by_sensor_[session->sensor_id()];
    older = std::exchange(current, session);
  }
  if (older) older->End(v1::GOODBYE_REASON_SUPERSEDED, absl::AbortedError("a newer stream of this sensor took over"));
}

void SensorHub::Detach(const SensorSession* session) {
  absl::MutexLock lock(&mutex_);
  const auto found = by_sensor_.find(session->sensor_id());
  if (found != by_sensor_.end() && found->second.get() == session) by_sensor_.erase(found);
  sessions_.erase(session);
}

void SensorHub::Shutdown(absl::Duration limit) {
  {
    absl::MutexLock lock(&mutex_);
    shutting_down_ = true;
  }
  for (const auto& session : Sessions()) {
    session->End(v1::GOODBYE_REASON_SHUTDOWN, absl::UnavailableError("this replica is shutting down; reconnect"));
  }
  {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(this, &SensorHub::Empty), limit);
  }
  StopTicking();
}

size_t SensorHub::size() const {
  absl::MutexLock lock(&mutex_);
  return sessions_.size();
}

void SensorHub::Loop() {
  absl::Time next_sweep = absl::Now() + kSweepInterval;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kTick)) return;
    }
    const auto sessions = Sessions();
    for (const auto& session : sessions) session->Tick();
    if (sessions.empty() || absl::Now() < next_sweep || sweeping_.exchange(true)) continue;
    next_sweep = absl::Now() + kSweepInterval;
    if (!context_.workers->Post([this] { Sweep(); })) sweeping_ = false;
  }
}

void SensorHub::Sweep() {
  std::map<std::string, std::shared_ptr<SensorSession>> unseen;
  {
    absl::MutexLock lock(&mutex_);
    unseen = by_sensor_;
  }
  const absl::Status status = context_.store->Run([&](Transaction& tx) -> absl::Status {
    std::string token;
    do {
      ASSIGN_OR_RETURN(const Page<Sensor> page, tx.ListSensors("", kSweepPage, token));
      for (const Sensor& sensor : page.items) {
        const auto found = unseen.find(sensor.id);
        if (found == unseen.end()) continue;
        const bool current =
            sensor.trust == Trust::kTrusted && sensor.desired_generation == found->second->known_generation();
        if (!current) found->second->Refresh();
        unseen.erase(found);
      }
      token = page.next_page_token;
    } while (!token.empty());
    return absl::OkStatus();
  });
  if (status.ok()) {
    // Not in the table any more: their sensors were deleted, which the refresh finds out.
    for (const auto& [id, session] : unseen) session->Refresh();
  } else {
    LogWarning("sweep over sensor streams failed", {{"error", status.ToString()}});
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
