// Breaks things at random and mends them again. The same seed breaks the same things in the same order.
#include "e2e/faults/injector.h"

#include <thread>

namespace bulkhead::e2e {

void Injector::Wait(int least_millis, int most_millis) {
  std::this_thread::sleep_for(std::chrono::milliseconds(least_millis + Any(most_millis - least_millis + 1)));
}

void Injector::Run(std::chrono::seconds duration) {
  const auto end = Clock::now() + duration;
  while (Clock::now() < end) {
    Wait(100, 1200);
    Break();
  }
}

void Injector::Break() {
  const int replica = Any(cluster_.size());
  const int kind = Any(14);
  // Sensors crash beside everything else, too.
  if (Any(2) == 0) CrashSensors();
  if (kind < 3) return KillReplica(replica);
  if (kind < 5) return RestartReplica(replica);
  if (kind < 6) return KillPostgres();
  if (kind < 10) return CutNetwork(replica);
  if (kind < 13) return LosePackets(replica);
  CrashSensors();
}

void Injector::KillReplica(int i) {
  ++made_["kill -9 of a replica"];
  cluster_.replica(i).Kill();
  Wait(0, 2000);
  cluster_.StartReplica(i);
}

void Injector::RestartReplica(int i) {
  ++made_["restart of a replica"];
  cluster_.replica(i).Stop();
  cluster_.StartReplica(i);
}

void Injector::KillPostgres() {
  ++made_["kill -9 of PostgreSQL"];
  cluster_.postgres().Kill();
  Wait(0, 1500);
  cluster_.postgres().Start();
}

void Injector::CutNetwork(int i) {
  Proxy& network = cluster_.network(i);
  const int kind = Any(4);
  if (kind == 0) {
    ++made_["connections reset"];
    return network.Cut();
  }
  static constexpr Proxy::State kStates[] = {Proxy::State::kBlackhole, Proxy::State::kDropToServer,
                                             Proxy::State::kDropToClient};
  ++made_[kind == 1 ? "network cut in both directions" : "network cut in one direction"];
  network.Set(kStates[kind - 1]);
  Wait(500, 5000);
  // Half of the time what was held back arrives late, half of the time never.
  if (Any(2) == 0) network.Cut();
  network.Set(Proxy::State::kForward);
}

void Injector::LosePackets(int i) {
  static constexpr Wire::Loss kLosses[] = {Wire::Loss::kBoth, Wire::Loss::kToServer, Wire::Loss::kToClient};
  const int kind = Any(3);
  ++made_[kind == 0 ? "packets lost in both directions" : "packets lost in one direction"];
  cluster_.wire(i).Lose(kLosses[kind]);
  Wait(500, 8000);
  // Half of the time the client is gone when the packets pass again: the server keeps a connection that is half open.
  if (Any(2) == 0) cluster_.network(i).Cut();
  cluster_.wire(i).Lose(Wire::Loss::kNone);
}

void Injector::CrashSensors() {
  const int count = 1 + Any(static_cast<int>(fleet_.size()) / 4 + 1);
  made_["kill -9 of a sensor"] += count;
  for (int i = 0; i < count; ++i) {
    fleet_.Post(static_cast<size_t>(Any(static_cast<int>(fleet_.size()))), [](SimSensor& sensor) { sensor.Crash(); });
  }
}

}  // namespace bulkhead::e2e
