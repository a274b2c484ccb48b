// N simulated sensors with real certificates, on a few threads.
#pragma once

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "e2e/fleet/sim_sensor.h"

namespace bulkhead::e2e {

// Enrolls sensors named PREFIX0, PREFIX1, … through the API: a token each, made as the operator of `channel`, with
// these labels, and a key of its own. Throws when one is refused.
std::vector<SimIdentity> EnrollSensors(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix,
                                       int count, const std::map<std::string, std::string>& labels = {});

// Thread safe. `options` and `history` must outlive it.
class SimFleet {
 public:
  SimFleet(const SimOptions* options, std::vector<SimIdentity> identities, History* history, uint64_t seed,
           int threads = 1);
  ~SimFleet();

  size_t size() const { return identities_.size(); }
  const SimIdentity& identity(size_t i) const { return identities_[i]; }
  // Has `task` run on a sensor's own thread, soon.
  void Post(size_t i, std::function<void(SimSensor&)> task);
  void PostToAll(const std::function<void(SimSensor&)>& task);

  struct Counts {
    size_t connected = 0;
    uint64_t heartbeats_answered = 0;
    uint64_t streams_opened = 0;
  };
  // As of at most a quarter of a second ago.
  Counts counts() const;

 private:
  struct Loop {
    grpc::CompletionQueue queue;
    std::vector<std::unique_ptr<SimSensor>> sensors;
    std::mutex mutex;
    std::vector<std::pair<size_t, std::function<void(SimSensor&)>>> tasks;  // guarded by mutex
    std::atomic<size_t> connected = 0;
    std::atomic<uint64_t> answered = 0, opened = 0;
    std::thread thread;
  };
  void Run(Loop& loop);
  static void RunTasks(Loop& loop);
  static void Count(Loop& loop);

  const std::vector<SimIdentity> identities_;
  std::atomic<bool> stop_ = false;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace bulkhead::e2e
