// Operators who give random orders to any replica, repeat what was not answered, and write down what they were told.
#include "e2e/faults/operators.h"

#include <grpcpp/client_context.h>

#include <future>

#include "common/uuid.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kCallLimit = std::chrono::milliseconds(1500);
constexpr auto kGiveUp = std::chrono::seconds(60);
// Of the calls that many are made twice: at once, and one after the other.
constexpr int kTwinPercent = 10, kDuplicatePercent = 15;
constexpr int kPaths = 4;

bool MayBeRepeated(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return true;
    default:
      return false;
  }
}

void Pause(std::mt19937_64& random, int most_millis) {
  std::this_thread::sleep_for(std::chrono::milliseconds(random() % static_cast<uint64_t>(most_millis)));
}

}  // namespace

Operators::Operators(const Cluster& cluster, std::vector<std::string> sensor_ids, uint64_t seed, int threads)
    : Operators(
          [&cluster] {
            std::vector<std::shared_ptr<grpc::Channel>> channels;
            for (int i = 0; i < cluster.size(); ++i) channels.push_back(cluster.OperatorChannel(i));
            return channels;
          },
          std::move(sensor_ids), seed, threads) {}

Operators::Operators(Channels channels, std::vector<std::string> sensor_ids, uint64_t seed, int threads)
    : channels_(std::move(channels)) {
  for (int t = 0; t < threads; ++t) {
    std::vector<std::string> mine;
    for (size_t i = t; i < sensor_ids.size(); i += threads) mine.push_back(sensor_ids[i]);
    threads_.emplace_back([this, mine, seed, t] { Run(mine, seed + t); });
  }
}

void Operators::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::vector<GivenOrder> Operators::orders() const {
  const std::lock_guard lock(mutex_);
  return orders_;
}

std::vector<std::string> Operators::complaints() const {
  const std::lock_guard lock(mutex_);
  return complaints_;
}

void Operators::Complain(const std::string& what) {
  const std::lock_guard lock(mutex_);
  complaints_.push_back(what);
}

void Operators::Run(std::vector<std::string> sensor_ids, uint64_t seed) {
  std::mt19937_64 random(seed);
  Stubs stubs;
  for (const auto& channel : channels_()) stubs.push_back(v1::SensorService::NewStub(channel));
  while (!stop_) {
    GiveOne(stubs, sensor_ids[random() % sensor_ids.size()], random);
    Pause(random, 60);
  }
}

template <typename Request, typename Response>
bool Operators::Call(const Stubs& stubs, std::mt19937_64& random,
                     grpc::Status (v1::SensorService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request, Response* response) {
  const auto once = [&](std::mt19937_64& any, Response* answer) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    return (*stubs[any() % stubs.size()].*method)(&context, request, answer);
  };
  const auto until_answered = [&](std::mt19937_64& any, Response* answer) {
    const auto give_up = Clock::now() + kGiveUp;
    grpc::Status status = once(any, answer);
    while (!status.ok() && MayBeRepeated(status.error_code()) && Clock::now() < give_up) {
      ++repeated_;
      Pause(any, 300);
      status = once(any, answer);
    }
    if (!status.ok()) Complain("order " + request.request_id() + " was not accepted: " + status.error_message());
    return status.ok();
  };
  const uint64_t chance = random() % 100;
  Response again;
  // At the same moment, most often to another replica.
  std::future<bool> twin;
  if (chance < kTwinPercent) {
    twin = std::async(std::launch::async, [&, seed = random()] {
      std::mt19937_64 any(seed);
      return until_answered(any, &again);
    });
  }
  const bool answered = until_answered(random, response);
  if (twin.valid() ? !twin.get() || !answered : !answered) return false;
  if (chance >= kTwinPercent + kDuplicatePercent) return true;
  if (chance >= kTwinPercent && !until_answered(random, &again)) return true;
  if (again.SerializeAsString() != response->SerializeAsString())
    Complain("order " + request.request_id() + " was answered differently when it was repeated");
  return true;
}

void Operators::GiveOne(const Stubs& stubs, const std::string& sensor_id, std::mt19937_64& random) {
  GivenOrder order;
  order.kind = static_cast<OrderKind>(random() % 5);
  order.sensor_id = sensor_id;
  order.request_id = NewUuid();
  // What every order but the kill has: fill in the request, call, read generation and "already so".
  const auto give = [&](auto method, auto request, auto response, auto already) {
    request.set_sensor(sensor_id);
    request.set_request_id(order.request_id);
    if (order.leased) {
      if constexpr (requires { request.mutable_lease(); }) {
        request.mutable_lease()->mutable_duration()->set_seconds(kLeaseSeconds);
        request.mutable_lease()->set_on_expiry(v1::ON_EXPIRY_RELEASE);
      }
    }
    if constexpr (requires { request.mutable_binary(); }) request.mutable_binary()->set_path(order.path);
    if (!Call(stubs, random, method, request, &response)) return false;
    order.generation_after = response.sensor().desired_generation();
    order.unchanged = (response.*already)();
    return true;
  };
  using Stub = v1::SensorService::Stub;
  bool accepted = false;
  switch (order.kind) {
    case OrderKind::kContain:
      accepted = give(&Stub::ContainSensor, v1::ContainSensorRequest(), v1::ContainSensorResponse(),
                      &v1::ContainSensorResponse::already_contained);
      break;
    case OrderKind::kIsolate:
      order.leased = true;
      accepted = give(&Stub::IsolateSensor, v1::IsolateSensorRequest(), v1::IsolateSensorResponse(),
                      &v1::IsolateSensorResponse::already_isolated);
      break;
    case OrderKind::kRelease:
      accepted = give(&Stub::ReleaseSensor, v1::ReleaseSensorRequest(), v1::ReleaseSensorResponse(),
                      &v1::ReleaseSensorResponse::already_released);
      break;
    case OrderKind::kBlock:
      order.path = "/opt/app/bin/worker-" + std::to_string(random() % kPaths);
      accepted = give(&Stub::BlockBinary, v1::BlockBinaryRequest(), v1::BlockBinaryResponse(),
                      &v1::BlockBinaryResponse::already_blocked);
      break;
    case OrderKind::kKill: {
      v1::KillProcessRequest request;
      request.set_sensor(sensor_id);
      request.set_request_id(order.request_id);
      request.mutable_process()->set_pid(order.pid = next_pid_++);
      v1::KillProcessResponse response;
      accepted = Call(stubs, random, &Stub::KillProcess, request, &response);
      order.command_id = response.command().id();
      break;
    }
  }
  if (!accepted) return;
  const std::lock_guard lock(mutex_);
  orders_.push_back(std::move(order));
}

}  // namespace bulkhead::e2e
