// Clients that misbehave, each from an address of its own, for as long as they live.
#include "e2e/faults/abusers.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>

#include <deque>
#include <functional>
#include <mutex>
#include <utility>

#include "common/unique_fd.h"

namespace bulkhead::e2e {
namespace {

constexpr size_t kHalfOpen = 400;
constexpr int kStreamsOfConnection = 20;
constexpr size_t kRefusedBytes = 9 << 20, kTooManyBytes = 11 << 20;
constexpr auto kBreath = std::chrono::milliseconds(5);

using Call = grpc::ClientReaderWriter<v1::ConnectRequest, v1::ConnectResponse>;

int PortOf(const std::string& address) {
  return std::stoi(address.substr(address.find(':') + 1));
}

v1::ConnectRequest Hello(size_t bytes = 0) {
  v1::ConnectRequest request;
  request.mutable_hello()->mutable_host()->set_boot_id("00000000-0000-4000-8000-000000000001");
  request.mutable_hello()->mutable_host()->set_hostname(std::string(bytes, 'x'));
  return request;
}

// Does something again and again on a thread of its own.
class Looping : public Abuser {
 public:
  uint64_t done() const override { return done_; }

 protected:
  // From the constructor of the last class, and Stop from its destructor.
  void Start(std::function<void()> once) {
    thread_ = std::thread([this, once = std::move(once)] {
      for (; !stop_; ++done_) once();
    });
  }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  bool stopping() const { return stop_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> done_ = 0;
  std::thread thread_;
};

class Handshakes final : public Looping {
 public:
  Handshakes(const Cluster& cluster, const std::string& source) {
    inet_pton(AF_INET, source.c_str(), &from_.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to_.sin_addr);
    from_.sin_family = to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<uint16_t>(PortOf(cluster.address(0))));
    Start([this] { Once(); });
  }
  ~Handshakes() override { Stop(); }

 private:
  void Once() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // The first bytes of a ClientHello that is to be 512 long.
    static constexpr char kBegin[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
    bind(fd.get(), reinterpret_cast<const sockaddr*>(&from_), sizeof(from_));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to_), sizeof(to_)) == 0)
      (void)!send(fd.get(), kBegin, sizeof(kBegin) - 1, MSG_NOSIGNAL);
    open_.push_back(std::move(fd));
    if (open_.size() > kHalfOpen) open_.pop_front();
    std::this_thread::sleep_for(kBreath);
  }

  sockaddr_in from_{}, to_{};
  std::deque<UniqueFd> open_;
};

// One that is somebody, behind a network that shows its address.
class Identified : public Looping {
 protected:
  Identified(const Cluster& cluster, const std::string& source, SimIdentity identity)
      : identity_(std::move(identity)), network_(PortOf(cluster.address(0)), nullptr, source) {}

  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = identity_.trust_bundle;
    tls.pem_private_key = identity_.key_pem;
    tls.pem_cert_chain = identity_.chain_pem;
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(network_.port()), grpc::SslCredentials(tls),
                                     arguments);
  }
  static std::unique_ptr<v1::SensorLinkService::Stub> StubOf(const std::shared_ptr<grpc::Channel>& channel) {
    return v1::SensorLinkService::NewStub(channel);
  }

 private:
  const SimIdentity identity_;
  Proxy network_;
};

class Hellos final : public Identified {
 public:
  Hellos(const Cluster& cluster, const std::string& source, const SimIdentity& identity)
      : Identified(cluster, source, identity) {
    Start([this] {
      grpc::ClientContext context;
      const auto stub = StubOf(Connect());
      const auto call = stub->Connect(&context);
      call->Write(Hello());
      context.TryCancel();
      call->Finish();
    });
  }
  ~Hellos() override { Stop(); }
};

class SilentStreams final : public Identified {
 public:
  SilentStreams(const Cluster& cluster, const std::string& source, const SimIdentity& identity)
      : Identified(cluster, source, identity) {
    Start([this] {
      const auto stub = StubOf(Connect());
      std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
      std::vector<std::unique_ptr<Call>> calls;
      for (int i = 0; i < kStreamsOfConnection; ++i) {
        contexts.push_back(std::make_unique<grpc::ClientContext>());
        calls.push_back(stub->Connect(contexts.back().get()));
      }
      for (int i = 0; i < 20 && !stopping(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      for (const auto& context : contexts) context->TryCancel();
      for (const auto& call : calls) call->Finish();
    });
  }
  ~SilentStreams() override { Stop(); }
};

class Giants final : public Identified {
 public:
  Giants(const Cluster& cluster, const std::string& source, const SimIdentity& identity)
      : Identified(cluster, source, identity), channel_(Connect()) {
    Start([this] {
      const auto stub = StubOf(channel_);
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
      const auto call = stub->Connect(&context);
      call->Write(Hello(done() % 2 == 0 ? kRefusedBytes : kTooManyBytes));
      v1::ConnectResponse response;
      while (call->Read(&response)) {
      }
      call->Finish();
    });
  }
  ~Giants() override { Stop(); }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

class Deaf final : public Identified {
 public:
  Deaf(const Cluster& cluster, const std::string& source, const SimIdentity& identity)
      : Identified(cluster, source, identity) {
    Open();
    Start([this] {
      v1::ConnectRequest request;
      request.mutable_heartbeat()->set_sequence(done() + 1);
      if (!call_->Write(request)) Open();
    });
  }
  ~Deaf() override {
    {
      // A write that waits for room ends with this.
      const std::lock_guard lock(mutex_);
      closed_ = true;
      context_->TryCancel();
    }
    Stop();
    call_->Finish();
  }

 private:
  void Open() {
    if (call_) call_->Finish();
    auto stub = StubOf(Connect());
    auto context = std::make_unique<grpc::ClientContext>();
    auto call = stub->Connect(context.get());
    {
      const std::lock_guard lock(mutex_);
      call_ = std::move(call);
      context_ = std::move(context);
      stub_ = std::move(stub);
      if (closed_) context_->TryCancel();
    }
    call_->Write(Hello());
  }

  std::mutex mutex_;
  bool closed_ = false;                                // guarded by mutex_
  std::unique_ptr<v1::SensorLinkService::Stub> stub_;  // guarded by mutex_
  std::unique_ptr<grpc::ClientContext> context_;       // guarded by mutex_
  std::unique_ptr<Call> call_;                         // of the thread
};

}  // namespace

std::unique_ptr<Abuser> HalfOpenHandshakes(Cluster& cluster, const std::string& source) {
  return std::make_unique<Handshakes>(cluster, source);
}
std::unique_ptr<Abuser> HelloFlood(Cluster& cluster, const std::string& source, const SimIdentity& identity) {
  return std::make_unique<Hellos>(cluster, source, identity);
}
std::unique_ptr<Abuser> HalfOpenStreams(Cluster& cluster, const std::string& source, const SimIdentity& identity) {
  return std::make_unique<SilentStreams>(cluster, source, identity);
}
std::unique_ptr<Abuser> GiantMessages(Cluster& cluster, const std::string& source, const SimIdentity& identity) {
  return std::make_unique<Giants>(cluster, source, identity);
}
std::unique_ptr<Abuser> SlowReader(Cluster& cluster, const std::string& source, const SimIdentity& identity) {
  return std::make_unique<Deaf>(cluster, source, identity);
}

}  // namespace bulkhead::e2e
