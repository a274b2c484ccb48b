// What a watcher sends, and when.
#include "controlplane/api/sensor_watcher.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/log.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/watch_hub.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

// Sensors read and queued at once; well below what a stream may have queued.
constexpr int kBatch = 100;
constexpr int kMaxChosen = 1000;

}  // namespace

SensorWatcher::SensorWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller,
                             std::shared_ptr<StreamSession> stream)
    : Watcher(api, caller, std::move(stream)), hub_(hub), strand_(api->workers) {}

void SensorWatcher::OnMessage(std::string bytes) {
  {
    absl::MutexLock lock(&mutex_);
    request_ = std::move(bytes);
    started_ = true;
    scan_wanted_ = true;
  }
  Wake();
}

void SensorWatcher::OnDrained() {
  Wake();
}

void SensorWatcher::OnEnded() {
  hub_->Remove(this);
}

void SensorWatcher::OnChange(const std::string& changed) {
  if (absl::StartsWith(changed, kRolloutChange)) return;
  {
    absl::MutexLock lock(&mutex_);
    if (!chosen_.empty() && !chosen_.contains(changed)) return;
    dirty_.insert(changed);
  }
  Wake();
}

void SensorWatcher::OnSweep() {
  {
    absl::MutexLock lock(&mutex_);
    scan_wanted_ = true;
  }
  Wake();
}

void SensorWatcher::Wake() {
  // No room among the workers: nothing is lost, the next sweep wakes it again.
  strand_.Wake([self = shared_from_this()] { self->Step(); });
}

void SensorWatcher::Step() {
  std::string request;
  bool scan = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!started_ || stream_->closed() || !stream_->idle()) return;
    request.swap(request_);
    scan = !scanning_ && std::exchange(scan_wanted_, false);
  }
  absl::Status status = request.empty() ? absl::OkStatus() : Begin(request);
  if (status.ok() && scan) {
    status = CheckCaller();
    scanning_ = true;
    page_token_.clear();
    seen_.clear();
  }
  if (status.ok()) status = SendChosen(TakeDirty());
  if (status.ok() && scanning_) status = ScanPage();
  if (!status.ok()) {
    LogInfo("watch ended", {{"caller", caller_.name}, {"error", status.ToString()}});
    return End(status);
  }
  // Nothing was sent, so no OnDrained will come: go on at once.
  if (stream_->idle() && (scanning_ || HasDirty())) Wake();
}

absl::Status SensorWatcher::Begin(const std::string& bytes) {
  v1::WatchSensorsRequest request;
  RETURN_IF_ERROR(ParseStrictly(bytes, &request));
  if (request.sensors_size() > kMaxChosen) {
    return InvalidField("sensors",
                        absl::StrCat("at most ", kMaxChosen, " sensors can be chosen; leave it empty to watch all"));
  }
  std::set<std::string> chosen;
  for (int i = 0; i < request.sensors_size(); ++i) {
    RETURN_IF_ERROR(ValidateSensorReference(absl::StrCat("sensors[", i, "]"), request.sensors(i)));
    RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(request.sensors(i), /*lock=*/false));
      chosen.insert(sensor.id);
      return absl::OkStatus();
    }));
  }
  absl::MutexLock lock(&mutex_);
  chosen_ = std::move(chosen);
  return absl::OkStatus();
}

bool SensorWatcher::HasDirty() {
  absl::MutexLock lock(&mutex_);
  return !dirty_.empty();
}

std::vector<std::string> SensorWatcher::TakeDirty() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> ids;
  while (!dirty_.empty() && ids.size() < kBatch) ids.push_back(std::move(dirty_.extract(dirty_.begin()).value()));
  return ids;
}

absl::Status SensorWatcher::SendChosen(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    absl::StatusOr<Sensor> sensor;
    const absl::Status status = api_->store->Run([&](Transaction& tx) -> absl::Status {
      sensor = tx.GetSensor(id, /*lock=*/false);
      return absl::IsNotFound(sensor.status()) ? absl::OkStatus() : sensor.status();
    });
    RETURN_IF_ERROR(status);
    if (sensor.ok()) {
      SendIfChanged(*sensor);
    } else {
      SendDeleted(id);
    }
  }
  return absl::OkStatus();
}

absl::Status SensorWatcher::ScanPage() {
  {
    absl::MutexLock lock(&mutex_);
    if (!chosen_.empty()) {
      dirty_.insert(chosen_.begin(), chosen_.end());
      scanning_ = false;
      return absl::OkStatus();
    }
  }
  Page<Sensor> page;
  RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListSensors("", LabelSelector(), "", kBatch, page_token_));
    return absl::OkStatus();
  }));
  for (const Sensor& sensor : page.items) {
    seen_.insert(sensor.id);
    SendIfChanged(sensor);
  }
  page_token_ = page.next_page_token;
  if (!page_token_.empty()) return absl::OkStatus();
  scanning_ = false;
  std::vector<std::string> gone;
  for (const auto& [id, known] : known_) {
    if (!seen_.contains(id)) gone.push_back(id);
  }
  // Through the dirty set, which asks again for each: it may have been enrolled behind the scan.
  absl::MutexLock lock(&mutex_);
  dirty_.insert(gone.begin(), gone.end());
  return absl::OkStatus();
}

void SensorWatcher::SendIfChanged(const Sensor& sensor) {
  v1::WatchSensorsResponse response;
  *response.mutable_sensor() = ToProto(sensor, api_->heartbeat_interval, api_->clock->Now());
  std::string bytes = SerializeDeterministically(response);
  std::string hash = Sha256(bytes);
  Known& known = known_[sensor.id];
  if (known.content_hash == hash) return;
  known = {.name = sensor.name, .content_hash = std::move(hash)};
  stream_->Send(std::move(bytes));
}

void SensorWatcher::SendDeleted(const std::string& sensor_id) {
  const auto found = known_.find(sensor_id);
  if (found == known_.end()) return;
  v1::WatchSensorsResponse response;
  response.mutable_sensor()->set_id(sensor_id);
  response.mutable_sensor()->set_name(found->second.name);
  response.set_deleted(true);
  known_.erase(found);
  stream_->Send(response.SerializeAsString());
}

}  // namespace bulkhead::controlplane
