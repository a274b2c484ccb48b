// Operators who give random orders to any replica, repeat what was not answered, and write down what they were told.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "e2e/faults/checker.h"
#include "e2e/fleet/cluster.h"

namespace bulkhead::e2e {

// Thread safe. Each thread has sensors of its own, so orders to one sensor have an order.
class Operators {
 public:
  // One call makes the channels to one thread's servers; each call of the API goes to any of them.
  using Channels = std::function<std::vector<std::shared_ptr<grpc::Channel>>()>;
  Operators(Channels channels, std::vector<std::string> sensor_ids, uint64_t seed, int threads = 2);
  // Directly to every replica.
  Operators(const Cluster& cluster, std::vector<std::string> sensor_ids, uint64_t seed, int threads = 2);
  ~Operators() { Stop(); }

  // Ends when every order that was begun has an answer.
  void Stop();

  std::vector<GivenOrder> orders() const;
  // Calls that were refused for good, answered differently when repeated, or not answered at all.
  std::vector<std::string> complaints() const;
  uint64_t repeated() const { return repeated_; }

 private:
  using Stubs = std::vector<std::unique_ptr<v1::SensorService::Stub>>;

  void Run(std::vector<std::string> sensor_ids, uint64_t seed);
  void GiveOne(const Stubs& stubs, const std::string& sensor_id, std::mt19937_64& random);
  // Calls until there is an answer; sometimes once more, which must be answered the same. False: there is none.
  template <typename Request, typename Response>
  bool Call(const Stubs& stubs, std::mt19937_64& random,
            grpc::Status (v1::SensorService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            const Request& request, Response* response);
  void Complain(const std::string& what);

  const Channels channels_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint32_t> next_pid_ = 1000;
  std::atomic<uint64_t> repeated_ = 0;
  mutable std::mutex mutex_;
  std::vector<GivenOrder> orders_;       // guarded by mutex_
  std::vector<std::string> complaints_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace bulkhead::e2e
