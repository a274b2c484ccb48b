// N simulated sensors with real certificates, on a few threads.
#include "e2e/fleet/sim_fleet.h"

#include <algorithm>
#include <stdexcept>

#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "harness/key_request.h"

namespace bulkhead::e2e {
namespace {

constexpr int kEnrollers = 4;
constexpr auto kCallLimit = std::chrono::seconds(30);
// A task that was posted waits so long at most.
constexpr auto kPollInterval = std::chrono::milliseconds(20);
// For each thread, streams that were opened and not welcomed: one process is all these clients, and thousands of
// handshakes that it began together would take longer than one may, and all begin anew.
constexpr int kMostOpening = 256;
// ... and so many in a row, which takes 20 to 30 ms: events must not wait for it.
constexpr int kMostOpenedAtOnce = 16;
constexpr auto kCountInterval = std::chrono::milliseconds(250);

void Require(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) throw std::runtime_error(what + ": " + status.error_message());
}

SimIdentity EnrollSensor(v1::EnrollmentService::Stub& stub, const std::string& name,
                         const std::map<std::string, std::string>& labels) {
  const auto deadline = [] { return std::chrono::system_clock::now() + kCallLimit; };
  grpc::ClientContext token_context;
  token_context.set_deadline(deadline());
  v1::CreateEnrollmentTokenRequest wanted;
  wanted.mutable_sensor_labels()->insert(labels.begin(), labels.end());
  v1::CreateEnrollmentTokenResponse token;
  Require(stub.CreateEnrollmentToken(&token_context, wanted, &token), "making a token");
  const bulkhead::test::KeyAndRequest made = bulkhead::test::MakeKeyAndRequest();
  v1::EnrollRequest request;
  request.set_token(token.secret());
  request.set_name(name);
  request.set_certificate_request(made.request_der);
  grpc::ClientContext enroll_context;
  enroll_context.set_deadline(deadline());
  v1::EnrollResponse response;
  Require(stub.Enroll(&enroll_context, request, &response), "enrolling " + name);
  return {.sensor_id = response.sensor_id(),
          .name = name,
          .key_pem = made.key_pem,
          .chain_pem = response.certificate_chain_pem(),
          .trust_bundle = response.trust_bundle_pem()};
}

}  // namespace

std::vector<SimIdentity> EnrollSensors(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix,
                                       int count, const std::map<std::string, std::string>& labels) {
  std::vector<SimIdentity> identities(count);
  std::atomic<int> next = 0;
  std::mutex mutex;
  std::string failed;
  std::vector<std::thread> threads;
  for (int t = 0; t < kEnrollers; ++t) {
    threads.emplace_back([&] {
      const auto stub = v1::EnrollmentService::NewStub(channel);
      try {
        for (int i = next++; i < count; i = next++)
          identities[i] = EnrollSensor(*stub, prefix + std::to_string(i), labels);
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex);
        failed = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!failed.empty()) throw std::runtime_error(failed);
  return identities;
}

SimFleet::SimFleet(const SimOptions* options, std::vector<SimIdentity> identities, History* history, uint64_t seed,
                   int threads)
    : identities_(std::move(identities)) {
  for (int t = 0; t < threads; ++t) loops_.push_back(std::make_unique<Loop>());
  for (size_t i = 0; i < identities_.size(); ++i) {
    Loop& loop = *loops_[i % loops_.size()];
    loop.sensors.push_back(std::make_unique<SimSensor>(options, identities_[i], history, &loop.queue, seed + i));
  }
  for (const auto& loop : loops_) loop->thread = std::thread([this, raw = loop.get()] { Run(*raw); });
}

SimFleet::~SimFleet() {
  stop_ = true;
  for (const auto& loop : loops_) loop->thread.join();
}

void SimFleet::Post(size_t i, std::function<void(SimSensor&)> task) {
  Loop& loop = *loops_[i % loops_.size()];
  const std::lock_guard lock(loop.mutex);
  loop.tasks.emplace_back(i / loops_.size(), std::move(task));
}

void SimFleet::PostToAll(const std::function<void(SimSensor&)>& task) {
  for (size_t i = 0; i < size(); ++i) Post(i, task);
}

SimFleet::Counts SimFleet::counts() const {
  Counts total;
  for (const auto& loop : loops_) {
    total.connected += loop->connected;
    total.heartbeats_answered += loop->answered;
    total.streams_opened += loop->opened;
  }
  return total;
}

void SimFleet::RunTasks(Loop& loop) {
  std::vector<std::pair<size_t, std::function<void(SimSensor&)>>> tasks;
  {
    const std::lock_guard lock(loop.mutex);
    tasks.swap(loop.tasks);
  }
  for (const auto& [i, task] : tasks) task(*loop.sensors[i]);
}

void SimFleet::Count(Loop& loop) {
  Counts total;
  for (const auto& sensor : loop.sensors) {
    total.connected += sensor->connected() ? 1 : 0;
    total.heartbeats_answered += sensor->heartbeats_answered();
    total.streams_opened += sensor->streams_opened();
  }
  loop.connected = total.connected;
  loop.answered = total.heartbeats_answered;
  loop.opened = total.streams_opened;
}

void SimFleet::Run(Loop& loop) {
  Clock::time_point next_count = Clock::now(), next_look = Clock::now();
  int opening = 0;
  while (!stop_) {
    void* tag = nullptr;
    bool ok = false;
    const auto wait = std::min<Clock::duration>(kPollInterval, std::max(next_look - Clock::now(), Clock::duration(0)));
    const auto event = loop.queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + wait);
    if (event == grpc::CompletionQueue::GOT_EVENT) SimSensor::OnEvent(tag, ok);
    const Clock::time_point now = Clock::now();
    if (now < next_look) continue;
    RunTasks(loop);
    int may_open = std::min(kMostOpening - opening, kMostOpenedAtOnce);
    opening = 0;
    for (const auto& sensor : loop.sensors) {
      may_open -= sensor->Tick(now, may_open > 0) ? 1 : 0;
      opening += sensor->opening() ? 1 : 0;
    }
    // From the end of it: where looking takes long the events must not wait for ever.
    next_look = Clock::now() + kPollInterval;
    if (now < next_count) continue;
    Count(loop);
    next_count = now + kCountInterval;
  }
  loop.sensors.clear();
  // A stream that ends begins operations until its last, which a queue that was shut down does not take.
  void* tag = nullptr;
  bool ok = false;
  while (SimSensor::LiveStreams() > 0) {
    const auto limit = std::chrono::system_clock::now() + kPollInterval;
    if (loop.queue.AsyncNext(&tag, &ok, limit) == grpc::CompletionQueue::GOT_EVENT) SimSensor::OnEvent(tag, ok);
  }
  loop.queue.Shutdown();
  while (loop.queue.Next(&tag, &ok)) SimSensor::OnEvent(tag, ok);
}

}  // namespace bulkhead::e2e
