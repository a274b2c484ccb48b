// Names of control planes to addresses, in bounded time.
#include "sensor/link/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "common/deadline.h"

namespace bulkhead::sensor {
namespace {

// More are never needed, and each costs an entry in the kernel's map.
constexpr size_t kMostAddresses = 16;

std::vector<IpPrefix> GetAddresses(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  std::vector<IpPrefix> out;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return out;
  for (const addrinfo* entry = list; entry != nullptr && out.size() < kMostAddresses; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
      continue;
    }
    const absl::StatusOr<IpPrefix> address = IpPrefix::Parse(text.data());
    if (address.ok() && std::find(out.begin(), out.end(), *address) == out.end()) out.push_back(*address);
  }
  freeaddrinfo(list);
  return out;
}

ResolvedHost* FindName(std::vector<ResolvedHost>& hosts, const HostPort& name) {
  const auto it = std::find_if(hosts.begin(), hosts.end(), [&name](const auto& host) { return host.name == name; });
  return it == hosts.end() ? nullptr : &*it;
}

void AddMissing(const std::vector<ControlPlaneEndpoint>& more, std::vector<ControlPlaneEndpoint>* endpoints) {
  for (const ControlPlaneEndpoint& endpoint : more) {
    if (std::find(endpoints->begin(), endpoints->end(), endpoint) == endpoints->end()) endpoints->push_back(endpoint);
  }
}

}  // namespace

// One look-up on a thread of its own. It cannot be interrupted, so the thread is detached and owns what it
// needs; at most one runs for each name.
struct Resolver::Running {
  std::mutex mutex;
  std::condition_variable ended;    // its waits go by the monotonic clock, those of absl::Mutex do not
  bool done = false;                // guarded by mutex
  std::vector<IpPrefix> addresses;  // guarded by mutex

  static std::shared_ptr<Running> Start(const std::string& host, const Lookup& find) {
    auto lookup = std::make_shared<Running>();
    if (const absl::StatusOr<IpPrefix> numeric = IpPrefix::Parse(host); numeric.ok()) {
      lookup->addresses = {*numeric};
      lookup->done = true;
      return lookup;
    }
    std::thread([lookup, host, find] {
      std::vector<IpPrefix> found = find(host);
      const std::lock_guard<std::mutex> lock(lookup->mutex);
      lookup->addresses = std::move(found);
      lookup->done = true;
      lookup->ended.notify_all();
    }).detach();
    return lookup;
  }
};

Resolver::Resolver(std::vector<ResolvedHost> known, Lookup lookup)
    : lookup_(lookup != nullptr ? std::move(lookup) : GetAddresses), known_(std::move(known)), kept_(known_) {
  // The oldest are in front, so that answers that never worked cannot push out one that did, however many there are.
  for (ResolvedHost& host : kept_) host.endpoints.resize(std::min(host.endpoints.size(), kMostAddresses));
}

std::vector<ResolvedHost> Resolver::Resolve(const std::vector<HostPort>& names, absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (const HostPort& name : names) {
    if (running_.count(name.host) == 0) running_[name.host] = Running::Start(name.host, lookup_);
  }
  std::vector<ResolvedHost> out;
  for (const HostPort& name : names) {
    ResolvedHost host{name};
    std::vector<ControlPlaneEndpoint> answered;
    const std::shared_ptr<Running> lookup = running_[name.host];
    {
      std::unique_lock<std::mutex> lock(lookup->mutex);
      lookup->ended.wait_until(lock, deadline.at(), [&lookup] { return lookup->done; });
      for (const IpPrefix& address : lookup->addresses) answered.push_back({address, name.port});
    }
    const ResolvedHost* known = FindName(known_, name);
    if (answered.empty() && known != nullptr) answered = known->endpoints;
    if (const ResolvedHost* kept = FindName(kept_, name); kept != nullptr) host.endpoints = kept->endpoints;
    AddMissing(answered, &host.endpoints);
    if (!host.endpoints.empty()) out.push_back(std::move(host));
  }
  for (auto it = running_.begin(); it != running_.end();) {
    const std::shared_ptr<Running> lookup = it->second;
    const std::lock_guard<std::mutex> lock(lookup->mutex);
    it = lookup->done ? running_.erase(it) : std::next(it);
  }
  known_ = out;
  return out;
}

void Resolver::MarkWorking(const HostPort& name, const ControlPlaneEndpoint& endpoint) {
  if (ResolvedHost* host = FindName(kept_, name); host != nullptr) {
    host->endpoints = {endpoint};
  } else {
    kept_.push_back({name, {endpoint}});
  }
}

}  // namespace bulkhead::sensor
