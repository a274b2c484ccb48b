// What a watcher sends, and when.
#include "controlplane/api/sensor_watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hex.h"
#include "common/log.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/resume_token.h"
#include "controlplane/api/watch_hub.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/health.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

// Sensors read and queued at once; well below what a stream may have queued.
constexpr int kBatch = 100;
constexpr int kMaxChosen = 1000;
constexpr absl::Duration kBookmarkInterval = absl::Seconds(30);
// Between the clocks of replicas and of the database.
constexpr absl::Duration kClockTolerance = absl::Minutes(1);

}  // namespace

SensorWatcher::SensorWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller,
                             std::shared_ptr<StreamSession> stream)
    : Watcher(api, caller, std::move(stream), "sensors:read"), hub_(hub), strand_(api->workers) {}

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
    if (!all_ && !chosen_.contains(changed)) return;
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
    scan = !scanning_ && !settling_ && std::exchange(scan_wanted_, false);
  }
  absl::Status status = request.empty() ? absl::OkStatus() : Begin(request);
  if (status.ok() && scan) status = BeginScan();
  if (status.ok() && !gone_.empty()) return SendGone();
  if (status.ok()) status = SendChosen(TakeDirty());
  if (status.ok() && scanning_) status = ScanPage();
  if (!status.ok()) {
    LogInfo("watch ended", {{"caller", caller_.name}, {"error", status.ToString()}});
    return End(status);
  }
  if (settling_ && !HasDirty()) EndScan();
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
  for (int i = 0; i < request.sensors_size(); ++i) {
    RETURN_IF_ERROR(ValidateSensorReference(absl::StrCat("sensors[", i, "]"), request.sensors(i)));
  }
  const std::set<std::string> references(request.sensors().begin(), request.sensors().end());
  watch_ = absl::StrCat("watch-sensors/", absl::StrJoin(references, ","));
  bookmarks_ = request.bookmarks();
  if (!request.resume_token().empty()) RETURN_IF_ERROR(Resume(request));
  return Choose(request);
}

absl::Status SensorWatcher::Resume(const v1::WatchSensorsRequest& request) {
  ASSIGN_OR_RETURN(resumed_from_, DecodeResumeToken(watch_, request.resume_token()));
  token_ = request.resume_token();
  RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const ChangeMoment now, tx.Moment());
    RETURN_IF_ERROR(CheckResumable(*resumed_from_, now));
    ASSIGN_OR_RETURN(gone_, tx.DeletedSince(resumed_from_->transaction));
    return absl::OkStatus();
  }));
  if (request.sensors().empty()) return absl::OkStatus();
  const std::set<std::string> references(request.sensors().begin(), request.sensors().end());
  std::erase_if(gone_, [&](const DeletedSensor& sensor) {
    return !references.contains(sensor.id) && !references.contains(sensor.name);
  });
  return absl::OkStatus();
}

absl::Status SensorWatcher::Choose(const v1::WatchSensorsRequest& request) {
  std::set<std::string> chosen;
  for (const std::string& reference : request.sensors()) {
    RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
      const absl::StatusOr<Sensor> sensor = tx.GetSensor(reference, /*lock=*/false);
      if (absl::IsNotFound(sensor.status()) && IsGone(reference)) return absl::OkStatus();
      RETURN_IF_ERROR(sensor.status());
      chosen.insert(sensor->id);
      return absl::OkStatus();
    }));
  }
  absl::MutexLock lock(&mutex_);
  all_ = request.sensors().empty();
  chosen_ = std::move(chosen);
  // Changes were told before it was known whom they are for.
  if (!all_) std::erase_if(dirty_, [&](const std::string& id) { return !chosen_.contains(id); });
  return absl::OkStatus();
}

bool SensorWatcher::IsGone(const std::string& reference) const {
  return std::any_of(gone_.begin(), gone_.end(),
                     [&](const DeletedSensor& sensor) { return sensor.id == reference || sensor.name == reference; });
}

absl::Status SensorWatcher::BeginScan() {
  RETURN_IF_ERROR(CheckCaller());
  RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(scan_began_, tx.Moment());
    return absl::OkStatus();
  }));
  scanning_ = true;
  page_token_.clear();
  seen_.clear();
  return absl::OkStatus();
}

void SensorWatcher::EndScan() {
  settling_ = false;
  const bool first = token_.empty() || resumed_from_.has_value();
  resumed_from_.reset();
  token_ = EncodeResumeToken(watch_, scan_began_);
  if (!bookmarks_ || (!first && api_->clock->Now() < bookmark_at_)) return;
  bookmark_at_ = api_->clock->Now() + kBookmarkInterval;
  SendBookmark();
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
  SensorQuery query;
  {
    absl::MutexLock lock(&mutex_);
    if (!all_ && !resumed_from_) {
      dirty_.insert(chosen_.begin(), chosen_.end());
      scanning_ = false;
      settling_ = true;
      return absl::OkStatus();
    }
    if (!all_) query.keep = [chosen = chosen_](const Sensor& sensor) { return chosen.contains(sensor.id); };
  }
  if (resumed_from_) query.changed_since = resumed_from_->transaction;
  Page<Sensor> page;
  RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(page, tx.ListSensors(query, kBatch, page_token_));
    return absl::OkStatus();
  }));
  for (const Sensor& sensor : page.items) {
    seen_.insert(sensor.id);
    if (ChangedMeanwhile(sensor)) {
      SendIfChanged(sensor);
    } else {
      known_[sensor.id] = {.name = sensor.name, .content_hash = HashOf(Shown(sensor))};
    }
  }
  page_token_ = page.next_page_token;
  if (!page_token_.empty()) return absl::OkStatus();
  scanning_ = false;
  settling_ = true;
  std::vector<std::string> gone;
  for (const auto& [id, known] : known_) {
    if (!seen_.contains(id)) gone.push_back(id);
  }
  // Through the dirty set, which asks again for each: it may have been enrolled behind the scan.
  absl::MutexLock lock(&mutex_);
  dirty_.insert(gone.begin(), gone.end());
  return absl::OkStatus();
}

bool SensorWatcher::ChangedMeanwhile(const Sensor& sensor) const {
  if (!resumed_from_ || sensor.maybe_changed) return true;
  // What changes with time alone: no row says so. A little before the token's moment, because clocks differ.
  const HealthReport then = AssessHealth(sensor, api_->heartbeat_interval, resumed_from_->time - kClockTolerance);
  const HealthReport now = AssessHealth(sensor, api_->heartbeat_interval, api_->clock->Now());
  return then.health != now.health || (now.health != Health::kOffline && then.reasons != now.reasons);
}

v1::Sensor SensorWatcher::Shown(const Sensor& sensor) const {
  return ToProto(sensor, api_->heartbeat_interval, api_->clock->Now());
}

std::string SensorWatcher::HashOf(v1::Sensor sensor) {
  // The reason of OFFLINE is for how long, and that is no change.
  if (sensor.health() == v1::HEALTH_OFFLINE) sensor.clear_health_reasons();
  return Sha256(SerializeDeterministically(sensor));
}

void SensorWatcher::SendIfChanged(const Sensor& sensor) {
  v1::WatchSensorsResponse response;
  *response.mutable_sensor() = Shown(sensor);
  std::string hash = HashOf(response.sensor());
  Known& known = known_[sensor.id];
  if (known.content_hash == hash) return;
  known = {.name = sensor.name, .content_hash = std::move(hash)};
  response.set_resume_token(token_);
  stream_->Send(response.SerializeAsString());
}

void SensorWatcher::SendDeleted(const std::string& sensor_id) {
  const auto found = known_.find(sensor_id);
  if (found == known_.end()) return;
  SendDeletion({.id = sensor_id, .name = found->second.name});
  known_.erase(found);
}

void SensorWatcher::SendDeletion(const DeletedSensor& sensor) {
  v1::WatchSensorsResponse response;
  response.mutable_sensor()->set_id(sensor.id);
  response.mutable_sensor()->set_name(sensor.name);
  response.set_deleted(true);
  response.set_resume_token(token_);
  stream_->Send(response.SerializeAsString());
}

void SensorWatcher::SendGone() {
  for (int i = 0; i < kBatch && !gone_.empty(); ++i) {
    SendDeletion(gone_.back());
    gone_.pop_back();
  }
}

void SensorWatcher::SendBookmark() {
  v1::WatchSensorsResponse response;
  response.set_bookmark(true);
  response.set_resume_token(token_);
  stream_->Send(response.SerializeAsString());
}

}  // namespace bulkhead::controlplane
