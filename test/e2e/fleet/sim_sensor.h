// A client of the real protocol on a simulated host, driven by a completion queue: thousands fit into a process.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "e2e/fleet/history.h"
#include "e2e/fleet/sim_host.h"

namespace bulkhead::e2e {

// What a sensor needs to be somebody.
struct SimIdentity {
  std::string sensor_id;
  std::string name;
  std::string key_pem;
  std::string chain_pem;
  std::string trust_bundle;
};

struct SimOptions {
  std::vector<std::string> servers;  // one is chosen at random for each stream, as a load balancer would
  std::chrono::milliseconds first_backoff{200};
  std::chrono::milliseconds last_backoff{2000};
  // Without an answer for so long a stream is given up. Zero: three heartbeat intervals.
  std::chrono::milliseconds answer_limit{0};
  // Chance that a kill is the last thing that the sensor does.
  double dies_over_kill = 0;
  Planted planted = Planted::kNone;
};

// Used by one thread: that of its completion queue.
class SimSensor {
 public:
  SimSensor(const SimOptions* options, SimIdentity identity, History* history, grpc::CompletionQueue* queue,
            uint64_t seed);
  ~SimSensor();

  // Does what is due, but opens no stream unless it may; true when it opened one. Call it some ten times a second.
  bool Tick(Clock::time_point now, bool may_open);
  // kill -9 of the sensor: the stream goes without a word, the host stays. It starts again at once.
  void Crash();
  // Ends the stream and opens none.
  void Stop();
  // A heartbeat now, and each again as soon as it is answered: for measuring.
  void Flood(bool on);

  bool connected() const { return welcomed_; }
  // Has a stream that is not welcome yet.
  bool opening() const { return stream_ != nullptr && !welcomed_; }
  uint64_t heartbeats_answered() const { return heartbeats_answered_; }
  uint64_t streams_opened() const { return streams_opened_; }
  // From a heartbeat to its answer, in microseconds: the last few thousand.
  std::vector<uint32_t> TakeRoundTrips() { return std::exchange(round_trips_, {}); }
  const SimIdentity& identity() const { return identity_; }

  // One stream; outlives its sensor's interest in it, until gRPC has given back every operation.
  struct Stream;
  // Streams that gRPC still has operations of, in this process.
  static int LiveStreams();
  // An operation of a stream that the queue gave back. Static: the sensor may have lost interest.
  static void OnEvent(void* tag, bool ok);

 private:
  friend struct Stream;
  void Open(Clock::time_point now);
  void Abandon();
  void OnMessage(const v1::ConnectResponse& response);
  void OnEnded(const grpc::Status& status);
  void Send(v1::ConnectRequest request);
  void SendHeartbeat();
  // What became of commands, at each welcome and with each heartbeat until the control plane has it, as the sensor
  // does.
  void SendUnacknowledged();

  const SimOptions* const options_;
  const SimIdentity identity_;
  grpc::CompletionQueue* const queue_;
  std::mt19937_64 random_;
  SimHost host_;
  Stream* stream_ = nullptr;
  bool stopped_ = false;
  bool welcomed_ = false;
  bool flood_ = false;
  bool dies_ = false;
  uint64_t sequence_ = 0;
  uint64_t heartbeats_answered_ = 0;
  uint64_t streams_opened_ = 0;
  std::vector<uint32_t> round_trips_;
  std::chrono::milliseconds interval_{1000};
  std::chrono::milliseconds backoff_;
  Clock::time_point next_open_, next_heartbeat_, last_heard_, heartbeat_sent_;
};

}  // namespace bulkhead::e2e
