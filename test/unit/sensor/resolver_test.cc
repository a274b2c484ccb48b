// DNS cannot take away the way to the control plane.
#include "sensor/link/resolver.h"

#include <catch2/catch.hpp>

#include "absl/synchronization/mutex.h"

namespace bulkhead::sensor {
namespace {

const HostPort kName{"cp.example.net", 8443};

ControlPlaneEndpoint At(const std::string& address) {
  return {*IpPrefix::Parse(address), 8443};
}

// What DNS answers; shared with the resolver's threads.
struct Dns {
  absl::Mutex mutex;
  std::vector<IpPrefix> answer;

  void Answer(const std::vector<std::string>& addresses) {
    absl::MutexLock lock(&mutex);
    answer.clear();
    for (const std::string& address : addresses) answer.push_back(*IpPrefix::Parse(address));
  }
  Resolver::Lookup lookup() {
    return [this](const std::string&) {
      absl::MutexLock lock(&mutex);
      return answer;
    };
  }
};

std::vector<ControlPlaneEndpoint> Resolve(Resolver& resolver) {
  return EndpointsOf(resolver.Resolve({kName}, absl::Seconds(5)));
}

TEST_CASE("an address that worked stays, whatever DNS answers later") {
  Dns dns;
  Resolver resolver({}, dns.lookup());
  dns.Answer({"192.0.2.1"});
  CHECK(Resolve(resolver) == std::vector{At("192.0.2.1")});
  resolver.MarkWorking(kName, At("192.0.2.1"));
  dns.Answer({"203.0.113.66"});
  CHECK(Resolve(resolver) == std::vector{At("192.0.2.1"), At("203.0.113.66")});
  dns.Answer({});
  CHECK(Resolve(resolver) == std::vector{At("192.0.2.1"), At("203.0.113.66")});
}

TEST_CASE("after a restart the stored addresses stay until one has proved itself") {
  Dns dns;
  Resolver resolver({{kName, {At("192.0.2.1"), At("192.0.2.2")}}}, dns.lookup());
  dns.Answer({"203.0.113.66"});
  CHECK(Resolve(resolver) == std::vector{At("192.0.2.1"), At("192.0.2.2"), At("203.0.113.66")});
  resolver.MarkWorking(kName, At("192.0.2.2"));
  CHECK(Resolve(resolver) == std::vector{At("192.0.2.2"), At("203.0.113.66")});
}

TEST_CASE("however many restarts and forged answers, the list stays bounded and the true address in it") {
  Dns dns;
  std::vector<ResolvedHost> stored = {{kName, {At("192.0.2.1")}}};
  for (int i = 0; i < 100; ++i) {
    Resolver resolver(stored, dns.lookup());
    dns.Answer({"203.0.113." + std::to_string(i + 1)});
    stored = resolver.Resolve({kName}, absl::Seconds(5));
  }
  CHECK(EndpointsOf(stored).size() <= 32);
  CHECK(EndpointsOf(stored).front() == At("192.0.2.1"));
}

}  // namespace
}  // namespace bulkhead::sensor
