// A client of the real protocol on a simulated host, driven by a completion queue: thousands fit into a process.
#include "e2e/fleet/sim_sensor.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace bulkhead::e2e {
namespace {

constexpr size_t kMostRoundTrips = 4096;

uint32_t MicrosSince(Clock::time_point begin) {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count());
}

std::atomic<int> live_streams = 0;

}  // namespace

struct SimSensor::Stream {
  // What is given to the queue: the address of one of these.
  struct Tag {
    Stream* stream;
    void (Stream::*done)(bool ok);
  };

  SimSensor* owner;  // null once the sensor has lost interest
  std::unique_ptr<v1::SensorLinkService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::ConnectRequest, v1::ConnectResponse>> call;
  v1::ConnectResponse incoming;
  std::deque<v1::ConnectRequest> outgoing;
  grpc::Status status;
  int pending = 0;
  bool writing = false, started = false, finishing = false;
  Tag started_tag{this, &Stream::OnStarted}, read_tag{this, &Stream::OnRead}, written_tag{this, &Stream::OnWritten},
      finished_tag{this, &Stream::OnFinished};

  Stream(SimSensor* sensor, const std::shared_ptr<grpc::Channel>& channel, grpc::CompletionQueue* queue)
      : owner(sensor), stub(v1::SensorLinkService::NewStub(channel)) {
    ++live_streams;
    call = stub->PrepareAsyncConnect(&context, queue);
    ++pending;
    call->StartCall(&started_tag);
  }
  ~Stream() { --live_streams; }
  void Write() {
    if (!started || writing || finishing || outgoing.empty()) return;
    writing = true;
    ++pending;
    call->Write(outgoing.front(), &written_tag);
  }
  void Read() {
    ++pending;
    call->Read(&incoming, &read_tag);
  }
  void Finish() {
    if (std::exchange(finishing, true)) return;
    ++pending;
    call->Finish(&status, &finished_tag);
  }
  void OnStarted(bool ok) {
    if (!ok) return Finish();
    started = true;
    Read();
    Write();
  }
  void OnRead(bool ok) {
    if (!ok) return Finish();
    if (owner != nullptr) owner->OnMessage(incoming);
    Read();
  }
  void OnWritten(bool ok) {
    writing = false;
    outgoing.pop_front();
    if (ok) Write();
  }
  void OnFinished(bool) {
    if (owner != nullptr) owner->OnEnded(status);
  }
};

int SimSensor::LiveStreams() {
  return live_streams;
}

void SimSensor::OnEvent(void* tag, bool ok) {
  const auto* const event = static_cast<Stream::Tag*>(tag);
  Stream* const stream = event->stream;
  (stream->*event->done)(ok);
  if (--stream->pending == 0) delete stream;
}

SimSensor::SimSensor(const SimOptions* options, SimIdentity identity, History* history, grpc::CompletionQueue* queue,
                     uint64_t seed)
    : options_(options),
      identity_(std::move(identity)),
      queue_(queue),
      random_(seed),
      host_(identity_.sensor_id, history, options->planted),
      backoff_(options->first_backoff) {}

SimSensor::~SimSensor() {
  Abandon();
}

bool SimSensor::Tick(Clock::time_point now, bool may_open) {
  if (stopped_) return false;
  if (dies_) Crash();
  const bool opens = stream_ == nullptr;
  if (opens) {
    if (now < next_open_ || !may_open) return false;
    Open(now);
  }
  const auto limit = options_->answer_limit.count() != 0 ? options_->answer_limit : 3 * interval_;
  if (now - last_heard_ > limit) {
    // The peer, or the network to it, is gone without a word.
    OnEnded(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "no answer"));
    return opens;
  }
  if (!welcomed_ || now < next_heartbeat_) return opens;
  SendHeartbeat();
  next_heartbeat_ = now + interval_;
  return opens;
}

void SimSensor::Open(Clock::time_point now) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = identity_.trust_bundle;
  tls.pem_private_key = identity_.key_pem;
  tls.pem_cert_chain = identity_.chain_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const std::string& server = options_->servers[random_() % options_->servers.size()];
  stream_ = new Stream(this, grpc::CreateCustomChannel(server, grpc::SslCredentials(tls), arguments), queue_);
  ++streams_opened_;
  last_heard_ = now;
  sequence_ = 0;
  v1::ConnectRequest request;
  v1::Hello& hello = *request.mutable_hello();
  hello.mutable_host()->set_hostname(identity_.name);
  hello.mutable_host()->set_boot_id("00000000-0000-4000-8000-000000000001");
  hello.mutable_host()->set_kernel_release("simulated");
  for (auto set : {&v1::Capabilities::set_containment_tier, &v1::Capabilities::set_isolation_tier,
                   &v1::Capabilities::set_block_binary_tier}) {
    (hello.mutable_capabilities()->*set)(v1::TIER_FULL);
  }
  *hello.mutable_observed() = host_.Observe();
  Send(std::move(request));
}

void SimSensor::Abandon() {
  welcomed_ = false;
  if (stream_ == nullptr) return;
  stream_->owner = nullptr;
  stream_->context.TryCancel();
  stream_ = nullptr;
}

void SimSensor::Crash() {
  Abandon();
  dies_ = false;
  host_.Restart();
  next_open_ = Clock::now();
}

void SimSensor::Stop() {
  stopped_ = true;
  Abandon();
}

void SimSensor::Flood(bool on) {
  flood_ = on;
  if (on && welcomed_) SendHeartbeat();
}

void SimSensor::SendHeartbeat() {
  v1::ConnectRequest request;
  heartbeat_sent_ = Clock::now();
  request.mutable_heartbeat()->set_sequence(++sequence_);
  *request.mutable_heartbeat()->mutable_observed() = host_.Observe();
  Send(std::move(request));
  SendUnacknowledged();
}

void SimSensor::SendUnacknowledged() {
  v1::ConnectRequest request;
  for (const auto& [id, result] : host_.unacknowledged()) {
    *request.mutable_command_result() = result;
    Send(request);
  }
}

void SimSensor::Send(v1::ConnectRequest request) {
  stream_->outgoing.push_back(std::move(request));
  stream_->Write();
}

void SimSensor::OnMessage(const v1::ConnectResponse& response) {
  last_heard_ = Clock::now();
  if (dies_) return;
  v1::ConnectRequest answer;
  switch (response.message_case()) {
    case v1::ConnectResponse::kWelcome:
      welcomed_ = true;
      backoff_ = options_->first_backoff;
      interval_ = std::chrono::seconds(response.welcome().heartbeat_interval_seconds());
      // Full jitter for the first, or a fleet that reconnected together would beat together for ever.
      next_heartbeat_ = last_heard_ + std::chrono::milliseconds(random_() % (interval_.count() + 1));
      SendUnacknowledged();
      break;
    case v1::ConnectResponse::kHeartbeatResponse:
      if (response.heartbeat_response().sequence() != 0) {
        ++heartbeats_answered_;
        if (round_trips_.size() < kMostRoundTrips) round_trips_.push_back(MicrosSince(heartbeat_sent_));
        if (flood_) SendHeartbeat();
      }
      if (!response.heartbeat_response().has_desired_state()) break;
      *answer.mutable_policy_status() = host_.Apply(response.heartbeat_response().desired_state());
      Send(std::move(answer));
      break;
    case v1::ConnectResponse::kCommand: {
      const bool dies = static_cast<double>(random_() % 1000) < options_->dies_over_kill * 1000;
      const auto result = host_.Kill(response.command(), dies);
      dies_ = dies;
      if (!result) break;
      *answer.mutable_command_result() = *result;
      Send(std::move(answer));
      break;
    }
    case v1::ConnectResponse::kCommandAck:
      host_.Acknowledge(response.command_ack().command_id());
      break;
    default:
      break;
  }
}

void SimSensor::OnEnded(const grpc::Status&) {
  Abandon();
  // Full jitter: a fleet that lost its server together must not come back together.
  next_open_ = Clock::now() + std::chrono::milliseconds(random_() % (backoff_.count() + 1));
  backoff_ = std::min(backoff_ * 8 / 5, options_->last_backoff);
}

}  // namespace bulkhead::e2e
