// Hears of changes that any replica commits, on a connection and a thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "controlplane/store/connection_pool.h"

namespace bulkhead::controlplane {

// Calls `on_change` from its thread until it is destroyed. When the connection is lost, or its server takes no more
// writes, it reconnects, for as long as it takes, and then calls on_change("") once, because a notification may have
// been missed meanwhile. Each connection is tried: a pooler in transaction mode takes LISTEN and delivers nothing,
// which is logged; changes are found by the sweeps then.
class ChangeListener {
 public:
  using OnChange = std::function<void(const std::string& sensor_id)>;

  // Returns once listening has begun. Unavailable when the database cannot be reached now.
  static absl::StatusOr<std::unique_ptr<ChangeListener>> Start(const std::string& connection_string, OnChange on_change,
                                                               TimelineFence* fence);
  ~ChangeListener();

 private:
  ChangeListener(std::string connection_string, OnChange on_change, TimelineFence* fence);

  // Opens a connection that listens.
  absl::Status Connect();
  // Whether a notification of another connection arrives.
  absl::StatusOr<bool> HearsOthers();
  // What it hears, it says in the log.
  absl::Status TryNotifications();
  // The thread: serves the connection, and replaces it when it breaks.
  void Loop();
  // Delivers what arrives until the connection breaks (an error) or the end is asked for (OK).
  absl::Status Serve();
  // Waits for input on `fd` (-1: none) or the end. False: the end was asked for.
  bool Wait(int fd, int milliseconds);

  class Receiver;

  const std::string connection_string_;
  const OnChange on_change_;
  TimelineFence* const fence_;
  UniqueFd stop_;  // an eventfd; readable once the end is asked for
  std::unique_ptr<PgConnection> connection_;
  std::unique_ptr<Receiver> receiver_;  // before connection_ in destruction
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
