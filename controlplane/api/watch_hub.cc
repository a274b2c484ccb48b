// The registry of watchers and its sweeping thread.
#include "controlplane/api/watch_hub.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/api/event_watcher.h"
#include "controlplane/api/rollout_watcher.h"
#include "controlplane/api/sensor_watcher.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kSweepInterval = absl::Seconds(5);
// Events that another replica stored are looked for this often: nothing is notified of them.
constexpr absl::Duration kEventInterval = absl::Seconds(1);
// Each costs a sweep of the sensors every few seconds.
constexpr size_t kMaxWatchers = 200;

}  // namespace

WatchHub::WatchHub(ApiContext api) : api_(api), sweeper_([this] { Loop(); }) {}

WatchHub::~WatchHub() {
  StopSweeping();
}

void WatchHub::StopSweeping() {
  pause_.Stop();
  if (sweeper_.joinable()) sweeper_.join();
}

void WatchHub::AddMethods(MethodTable& table) {
  const auto add = [&](const std::string& path, auto make) {
    table.Add(path,
              {.access = Access::kOperator,
               .unary = nullptr,
               .stream = [this, make](const Caller& caller,
                                      std::shared_ptr<StreamSession> stream) { return Admit(make(caller, stream)); },
               .workers = api_.workers});
  };
  add("/bulkhead.v1.SensorService/WatchSensors", [this](const Caller& caller, std::shared_ptr<StreamSession> stream) {
    return std::make_shared<SensorWatcher>(&api_, this, caller, std::move(stream));
  });
  add("/bulkhead.v1.RolloutService/WatchRollout", [this](const Caller& caller, std::shared_ptr<StreamSession> stream) {
    return std::make_shared<RolloutWatcher>(&api_, this, caller, std::move(stream));
  });
  add("/bulkhead.v1.EventService/WatchEvents", [this](const Caller& caller, std::shared_ptr<StreamSession> stream) {
    return std::make_shared<EventWatcher>(&api_, this, caller, std::move(stream));
  });
}

absl::StatusOr<std::shared_ptr<StreamHandler>> WatchHub::Admit(std::shared_ptr<Watcher> watcher) {
  absl::MutexLock lock(&mutex_);
  if (shutting_down_) return absl::UnavailableError("this replica is shutting down; watch another");
  if (watchers_.size() >= kMaxWatchers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this replica serves ", kMaxWatchers, " watchers already; try another"));
  }
  watchers_[watcher.get()] = watcher;
  return watcher;
}

void WatchHub::OnChange(const std::string& changed) {
  for (const auto& watcher : Watchers()) {
    if (changed.empty()) {
      watcher->OnSweep();
    } else {
      watcher->OnChange(changed);
    }
  }
}

void WatchHub::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    shutting_down_ = true;
  }
  for (const auto& watcher : Watchers())
    watcher->End(absl::UnavailableError("this replica is shutting down; watch another"));
  StopSweeping();
}

void WatchHub::Remove(const Watcher* watcher) {
  absl::MutexLock lock(&mutex_);
  watchers_.erase(watcher);
}

size_t WatchHub::size() const {
  absl::MutexLock lock(&mutex_);
  return watchers_.size();
}

void WatchHub::Loop() {
  absl::Duration since_sweep;
  while (pause_.For(kEventInterval)) {
    since_sweep += kEventInterval;
    OnChange(since_sweep < kSweepInterval ? kEventsChange : "");
    if (since_sweep >= kSweepInterval) since_sweep = absl::ZeroDuration();
  }
}

std::vector<std::shared_ptr<Watcher>> WatchHub::Watchers() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Watcher>> watchers;
  watchers.reserve(watchers_.size());
  for (const auto& [key, watcher] : watchers_) watchers.push_back(watcher);
  return watchers;
}

}  // namespace bulkhead::controlplane
