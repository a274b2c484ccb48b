// One WatchSensors call: the chosen sensors as they are, then each change, at the pace at which the caller reads.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/api/watcher.h"

namespace bulkhead::controlplane {

class WatchHub;

// Everything is looked at in scans: one at the start, then one with each sweep. What a scan began with is the moment up
// to which the caller has everything once the scan's answers are sent: that is the resume token. Between scans, what is
// told of is sent at once.
//
// Holds what has changed as a set of ids, not as messages, so a slow caller costs memory for ids only, sees the latest
// state when it reads on, and delays nobody. Reads the database one small batch at a time, and only when the caller has
// taken the batch before.
class SensorWatcher final : public Watcher, public std::enable_shared_from_this<SensorWatcher> {
 public:
  SensorWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller, std::shared_ptr<StreamSession> stream);

  void OnMessage(std::string bytes) override;
  // A caller that has sent its one request is still watching.
  void OnPeerDone() override {}
  void OnDrained() override;
  void OnEnded() override;

  void OnChange(const std::string& changed) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnSweep() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Known {
    std::string name;
    std::string content_hash;
  };

  void Wake();

  // Everything from here runs on the worker.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Begin(const std::string& bytes);
  // The rest of Begin for a watch that goes on.
  absl::Status Resume(const v1::WatchSensorsRequest& request);
  // The ids of the chosen sensors. One that is gone is left out when the watch goes on, because its deletion is told.
  absl::Status Choose(const v1::WatchSensorsRequest& request);
  bool IsGone(const std::string& reference) const;
  absl::Status BeginScan();
  // Everything that the scan found has been sent: the token moves on.
  void EndScan();
  // Sends the sensors of `ids` that have changed.
  absl::Status SendChosen(const std::vector<std::string>& ids);
  // Sends the changed sensors of the next page of a scan; the last page also tells what has gone.
  absl::Status ScanPage();
  // Whether a sensor may be other than at the moment at which the watch goes on.
  bool ChangedMeanwhile(const Sensor& sensor) const;
  v1::Sensor Shown(const Sensor& sensor) const;
  static std::string HashOf(v1::Sensor sensor);
  void SendIfChanged(const Sensor& sensor);
  void SendDeleted(const std::string& sensor_id);
  void SendDeletion(const DeletedSensor& sensor);
  // Some of those that were deleted before the watch went on.
  void SendGone();
  void SendBookmark();
  bool HasDirty() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> TakeDirty() ABSL_LOCKS_EXCLUDED(mutex_);

  WatchHub* const hub_;
  Strand strand_;

  absl::Mutex mutex_;
  std::string request_ ABSL_GUARDED_BY(mutex_);
  bool started_ ABSL_GUARDED_BY(mutex_) = false;  // the request has been read
  bool scan_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string> dirty_ ABSL_GUARDED_BY(mutex_);
  bool all_ ABSL_GUARDED_BY(mutex_) = true;
  std::set<std::string> chosen_ ABSL_GUARDED_BY(mutex_);  // ids; if not all

  // On the worker only.
  std::string watch_;  // what is watched, as tokens are bound to it
  bool bookmarks_ = false;
  absl::Time bookmark_at_;                    // when the next may be sent
  std::string token_;                         // empty: none yet
  std::optional<ChangeMoment> resumed_from_;  // until the first scan is over
  std::vector<DeletedSensor> gone_;
  ChangeMoment scan_began_;
  bool scanning_ = false;  // pages are left to read
  bool settling_ = false;  // pages are read, and what they found is being sent
  std::string page_token_;
  std::set<std::string> seen_;
  std::map<std::string, Known> known_;
};

}  // namespace bulkhead::controlplane
