// Connections to PostgreSQL: opened with our session settings, lent to one thread at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/store/store.h"
#include "controlplane/store/timeline_fence.h"

namespace bulkhead::controlplane {

// A connection that keeps quiet on standard error. Not thread safe.
class PgConnection {
 public:
  // Connects to the server that takes writes and that `fence` (if there is one) does not refuse: the first such of the
  // hosts that the string names. Within 10 seconds, or 3 for each of several hosts, unless the string says otherwise.
  // Sets time zone, timeouts and output formats. Unavailable when there is no such server now.
  static absl::StatusOr<std::unique_ptr<PgConnection>> Open(const std::string& connection_string,
                                                            TimelineFence* fence = nullptr);

  pqxx::connection& get() { return connection_; }

 private:
  // To the first host of the string that takes writes. FailedPrecondition when the fence refuses it.
  static absl::StatusOr<std::unique_ptr<PgConnection>> OpenFirst(const std::string& connection_string,
                                                                 TimelineFence* fence);
  explicit PgConnection(const std::string& connection_string) : connection_(connection_string), quiet_(connection_) {}

  pqxx::connection connection_;
  pqxx::quiet_errorhandler quiet_;
};

// Thread safe. Connections are opened when needed, up to the size, and thrown away when they break.
class ConnectionPool {
 public:
  // `longest_wait` is how long Acquire waits for a connection that is lent. `fence` may be null.
  ConnectionPool(std::string connection_string, int size, TimelineFence* fence = nullptr,
                 std::chrono::milliseconds longest_wait = std::chrono::seconds(10))
      : connection_string_(std::move(connection_string)), size_(size), fence_(fence), longest_wait_(longest_wait) {}

  // Gives its connection back when it ends. Must not outlive the pool.
  class Lease {
   public:
    Lease(ConnectionPool* pool, std::unique_ptr<PgConnection> connection)
        : pool_(pool), connection_(std::move(connection)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (connection_ != nullptr) pool_->GiveBack(std::move(connection_));
    }

    pqxx::connection& get() { return connection_->get(); }

   private:
    ConnectionPool* pool_;
    std::unique_ptr<PgConnection> connection_;
  };

  // Waits for a free connection. Unavailable when there is none, or the database cannot be reached.
  absl::StatusOr<Lease> Acquire();

  PoolFigures Figures() const;

  // Closes every connection that is not lent: after one was found broken, the others most likely are too.
  void DropIdle();

 private:
  friend class Lease;
  void GiveBack(std::unique_ptr<PgConnection> connection);

  const std::string connection_string_;
  const int size_;
  TimelineFence* const fence_;
  const std::chrono::milliseconds longest_wait_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<PgConnection>> idle_;  // guarded by mutex_
  int lent_ = 0;                                     // guarded by mutex_
};

}  // namespace bulkhead::controlplane
