// A network between clients and one server on this machine, which can fail in the ways that networks fail.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <thread>

#include "common/unique_fd.h"
#include "e2e/fleet/wire.h"

namespace bulkhead::e2e {

// One thread that forwards TCP. Thread safe.
class Proxy {
 public:
  enum class State {
    kForward,       // as if it were not there
    kBlackhole,     // nothing passes and nothing is said: both sides keep connections that are dead
    kDropToServer,  // only what the server says passes
    kDropToClient,  // only what the clients say passes
  };

  // Forwards to `server_port` of this machine, through the cable if there is one; the server sees `source`, an address
  // of the loopback, if that is not empty. Throws when it cannot listen.
  explicit Proxy(int server_port, const Wire* wire = nullptr, std::string source = "");
  ~Proxy();

  int port() const { return port_; }
  // Concerns open connections and new ones. What was held back is sent on, late, when it goes back to kForward.
  void Set(State state);
  // Resets every open connection.
  void Cut();

 private:
  struct Pipe {
    UniqueFd client, server;
    std::string to_server, to_client;  // read, not written yet
    bool connecting = true;
  };
  void Loop();
  void Accept();
  // False when the connection is over.
  bool Move(Pipe& pipe, State state, short server_events);

  UniqueFd ServerSocket() const;

  const int server_port_;
  const Wire* const wire_;
  const std::string source_;
  int port_ = 0;
  UniqueFd listener_, wake_;
  std::atomic<State> state_ = State::kForward;
  std::atomic<bool> cut_ = false, stop_ = false;
  std::list<Pipe> pipes_;  // of the thread
  std::thread thread_;
};

}  // namespace bulkhead::e2e
