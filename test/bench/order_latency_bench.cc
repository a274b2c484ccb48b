// How long from an operator's call to the first denied packet, beside the round trip of a bare gRPC stream on the same
// machine.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <new>
#include <thread>

#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

constexpr int kOrders = 200;
constexpr int kRoundTrips = 1000;
// The sensor makes the slot for the next rule set ready about once a second; an operator is never quicker than that, a
// script may be.
constexpr auto kQuiet = std::chrono::milliseconds(1200);
constexpr auto kOrderLimit = std::chrono::seconds(10);

int64_t NowNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

void PrintMillis(const char* what, std::vector<int64_t> nanos) {
  std::sort(nanos.begin(), nanos.end());
  const auto at = [&](size_t percent) { return static_cast<double>(nanos[(nanos.size() - 1) * percent / 100]) / 1e6; };
  printf("%-52s p50 %8.3f ms   p99 %8.3f ms   max %8.3f ms   n=%zu\n", what, at(50), at(99), at(100), nanos.size());
}

// A process in the contained cgroup that sends without pause and notes when the kernel's answer changes.
class Sender {
 public:
  Sender(const std::string& cgroup, const std::string& address, int port) {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    shared_ = new (memory) Shared;
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) Send(cgroup, address, port);
  }
  ~Sender() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(shared_, sizeof(Shared));
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // The moment of the first attempt that was answered so; 0 when there was none in time.
  int64_t WaitFor(bool open) const {
    const int64_t until = NowNanos() + std::chrono::nanoseconds(kOrderLimit).count();
    while (NowNanos() < until) {
      const int64_t changed = shared_->changed_at.load();
      if (changed != 0 && (changed > 0) == open) return std::abs(changed);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return 0;
  }

 private:
  // Nanoseconds of the last change; negative: the kernel refuses since then.
  struct Shared {
    std::atomic<int64_t> changed_at{0};
  };

  [[noreturn]] void Send(const std::string& cgroup, const std::string& address, int port) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int procs = open((cgroup + "/cgroup.procs").c_str(), O_WRONLY);
    if (write(procs, "0", 1) != 1) _exit(1);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.c_str(), &to.sin_addr);
    int last = -1;
    for (;;) {
      const int64_t began = NowNanos();
      const int open =
          sendto(fd, "b", 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 1 || errno != EPERM;
      if (open != last) shared_->changed_at = open ? began : -began;
      last = open;
      // Leaves the processor to those whose work is measured.
      usleep(50);
    }
  }

  Shared* shared_ = nullptr;
  pid_t pid_ = -1;
};

std::shared_ptr<grpc::Channel> OperatorChannel(const System& system) {
  grpc::SslCredentialsOptions tls;
  const std::string identity = system.Identity("operator");
  tls.pem_root_certs = ReadAll(identity + "/ca.pem");
  tls.pem_cert_chain = ReadAll(identity + "/cert.pem");
  tls.pem_private_key = ReadAll(identity + "/key.pem");
  return grpc::CreateChannel(system.server(), grpc::SslCredentials(tls));
}

class EchoLink : public v1::SensorLinkService::Service {
  grpc::Status Connect(grpc::ServerContext*,
                       grpc::ServerReaderWriter<v1::ConnectResponse, v1::ConnectRequest>* stream) override {
    v1::ConnectRequest request;
    v1::ConnectResponse response;
    while (stream->Read(&request)) {
      response.mutable_heartbeat_response()->set_sequence(request.heartbeat().sequence());
      if (!stream->Write(response)) break;
    }
    return grpc::Status::OK;
  }
};

// The yardstick: gRPC and TLS alone, on a stream like the sensor's.
std::vector<int64_t> BareRoundTrips(const std::string& directory) {
  const std::string key = directory + "/bench-key.pem";
  const std::string cert = directory + "/bench-cert.pem";
  REQUIRE(Run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
               "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert})
              .exit_code == 0);
  grpc::SslServerCredentialsOptions server_tls;
  server_tls.pem_key_cert_pairs.push_back({ReadAll(key), ReadAll(cert)});
  EchoLink service;
  int port = 0;
  const auto server = grpc::ServerBuilder()
                          .AddListeningPort("localhost:0", grpc::SslServerCredentials(server_tls), &port)
                          .RegisterService(&service)
                          .BuildAndStart();
  grpc::SslCredentialsOptions client_tls;
  client_tls.pem_root_certs = ReadAll(cert);
  v1::SensorLinkService::Stub stub(
      grpc::CreateChannel("localhost:" + std::to_string(port), grpc::SslCredentials(client_tls)));
  grpc::ClientContext context;
  const auto stream = stub.Connect(&context);
  std::vector<int64_t> nanos;
  v1::ConnectRequest request;
  v1::ConnectResponse response;
  for (int i = 0; i < kRoundTrips; ++i) {
    request.mutable_heartbeat()->set_sequence(i + 1);
    const int64_t began = NowNanos();
    REQUIRE(stream->Write(request));
    REQUIRE(stream->Read(&response));
    nanos.push_back(NowNanos() - began);
  }
  stream->WritesDone();
  stream->Finish();
  server->Shutdown();
  return nanos;
}

std::string Rss(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmRSS:", 0) == 0) return line.substr(line.find_first_not_of(" \t", 6));
  }
  return "unknown";
}

// What was measured of a series of containments.
struct Series {
  std::vector<int64_t> answered;
  std::vector<int64_t> denied;
};

// Contains and releases over and over; `pause` is the quiet time before each containment.
Series MeasureOrders(v1::SensorService::Stub& stub, const Sender& sender, std::chrono::milliseconds pause) {
  Series series;
  for (int i = 0; i < kOrders; ++i) {
    std::this_thread::sleep_for(pause);
    v1::ContainSensorRequest contain;
    v1::ContainSensorResponse contained;
    contain.set_sensor(System::kSensor);
    grpc::ClientContext contain_context;
    const int64_t called = NowNanos();
    REQUIRE(stub.ContainSensor(&contain_context, contain, &contained).ok());
    series.answered.push_back(NowNanos() - called);
    const int64_t cut = sender.WaitFor(false);
    if (cut == 0) FAIL("containment " << i << " was not enforced in time" << System::Get().Logs());
    series.denied.push_back(cut - called);

    v1::ReleaseSensorRequest release;
    v1::ReleaseSensorResponse released;
    release.set_sensor(System::kSensor);
    grpc::ClientContext release_context;
    REQUIRE(stub.ReleaseSensor(&release_context, release, &released).ok());
    REQUIRE(sender.WaitFor(true) != 0);
  }
  return series;
}

TEST_CASE("order latency") {
  System& system = System::Get();
  system.Reset();
  const Sender sender(system.sandbox().cgroup(), system.sandbox().peer4(), system.sandbox().peer_port());
  REQUIRE(sender.WaitFor(true) != 0);
  v1::SensorService::Stub stub(OperatorChannel(system));
  const Series single = MeasureOrders(stub, sender, kQuiet);
  const Series burst = MeasureOrders(stub, sender, std::chrono::milliseconds(0));
  PrintMillis("contain, one order: call to first denied packet", single.denied);
  PrintMillis("contain, one order: call to answer (stored)", single.answered);
  PrintMillis("contain, order on order: call to first denied packet", burst.denied);
  PrintMillis("yardstick: bare gRPC stream over TLS, round trip", BareRoundTrips(system.directory()));
  printf("memory: sensor %s, control plane %s\n", Rss(system.sensor().pid()).c_str(),
         Rss(system.control_plane().pid()).c_str());
}

}  // namespace
}  // namespace bulkhead::e2e
