// Hears of changes that any replica commits, on a connection and a thread of its own.
#include "controlplane/store/change_listener.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <pqxx/pqxx>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/store/pg_errors.h"
#include "controlplane/store/pg_transaction.h"

namespace bulkhead::controlplane {
namespace {

// A connection that says nothing for so long is asked whether it still lives.
constexpr int kProbeMilliseconds = 10000;
constexpr int kEchoLookMilliseconds = 100;
constexpr int kEchoLooks = 20;
constexpr int kFirstBackoffMilliseconds = 100;
constexpr int kLastBackoffMilliseconds = 5000;

// Hears one notification on a channel that only this connection knows.
class Echo : public pqxx::notification_receiver {
 public:
  Echo(pqxx::connection& connection, const std::string& channel) : pqxx::notification_receiver(connection, channel) {}

  void operator()(const std::string&, int) override { heard_ = true; }
  bool heard() const { return heard_; }

 private:
  bool heard_ = false;
};

}  // namespace

class ChangeListener::Receiver : public pqxx::notification_receiver {
 public:
  Receiver(pqxx::connection& connection, const OnChange& on_change)
      : pqxx::notification_receiver(connection, kChangeChannel), on_change_(on_change) {}

  void operator()(const std::string& payload, int) override { on_change_(payload); }

 private:
  const OnChange& on_change_;
};

ChangeListener::ChangeListener(std::string connection_string, OnChange on_change, TimelineFence* fence)
    : connection_string_(std::move(connection_string)), on_change_(std::move(on_change)), fence_(fence) {}

absl::StatusOr<std::unique_ptr<ChangeListener>> ChangeListener::Start(const std::string& connection_string,
                                                                      OnChange on_change, TimelineFence* fence) {
  std::unique_ptr<ChangeListener> listener(new ChangeListener(connection_string, std::move(on_change), fence));
  listener->stop_.Reset(eventfd(0, EFD_CLOEXEC));
  if (!listener->stop_.valid()) return ErrnoToStatus(errno, "create an eventfd");
  RETURN_IF_ERROR(listener->Connect());
  listener->thread_ = std::thread([raw = listener.get()] { raw->Loop(); });
  return listener;
}

ChangeListener::~ChangeListener() {
  if (thread_.joinable()) {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  receiver_.reset();
}

absl::Status ChangeListener::Connect() {
  receiver_.reset();
  ASSIGN_OR_RETURN(connection_, PgConnection::Open(connection_string_, fence_));
  try {
    receiver_ = std::make_unique<Receiver>(connection_->get(), on_change_);
  } catch (...) {
    return FailureFromCurrentException("listen for changes").status;
  }
  return TryNotifications();
}

absl::StatusOr<bool> ChangeListener::HearsOthers() {
  // By another connection, or a pooler might hand its own notification back to it.
  ASSIGN_OR_RETURN(const auto other, PgConnection::Open(connection_string_, fence_));
  try {
    pqxx::connection& ours = connection_->get();
    const std::string channel = absl::StrCat(kChangeChannel, "_", ToHex(RandomBytes(8)));
    const Echo echo(ours, channel);
    pqxx::nontransaction(other->get()).exec(absl::StrCat("NOTIFY ", channel));
    for (int i = 0; i < kEchoLooks && !echo.heard(); ++i) {
      if (!Wait(ours.sock(), kEchoLookMilliseconds)) return true;  // the end was asked for
      ours.get_notifs();
    }
    return echo.heard();
  } catch (...) {
    return FailureFromCurrentException("try whether notifications arrive").status;
  }
}

absl::Status ChangeListener::TryNotifications() {
  ASSIGN_OR_RETURN(const bool heard, HearsOthers());
  if (!heard) {
    LogWarning(
        "notifications of PostgreSQL do not arrive; a change reaches sensors of other replicas by the sweep, "
        "after up to 5 seconds. Is a pooler in transaction mode in between? Then give --postgres-listen a "
        "direct connection");
  }
  return absl::OkStatus();
}

void ChangeListener::Loop() {
  int backoff = kFirstBackoffMilliseconds;
  for (;;) {
    absl::Status status = Serve();
    if (status.ok()) return;
    LogWarning("listening for changes was interrupted, reconnecting", {{"error", status.ToString()}});
    do {
      if (!Wait(-1, backoff)) return;
      backoff = std::min(backoff * 2, kLastBackoffMilliseconds);
      status = Connect();
    } while (!status.ok());
    backoff = kFirstBackoffMilliseconds;
    LogInfo("listening for changes again");
    on_change_("");
  }
}

absl::Status ChangeListener::Serve() {
  try {
    pqxx::connection& connection = connection_->get();
    while (Wait(connection.sock(), kProbeMilliseconds)) {
      if (connection.get_notifs() != 0) continue;
      // A primary that was fenced or demoted stays silent for ever.
      const pqxx::row read_only = pqxx::nontransaction(connection).exec1("SHOW transaction_read_only");
      if (read_only[0].as<std::string>() != "off") {
        return absl::UnavailableError("the database server takes no more writes");
      }
    }
    return absl::OkStatus();
  } catch (...) {
    return FailureFromCurrentException("wait for changes").status;
  }
}

bool ChangeListener::Wait(int fd, int milliseconds) {
  pollfd fds[2] = {{stop_.get(), POLLIN, 0}, {fd, POLLIN, 0}};
  while (poll(fds, 2, milliseconds) < 0 && errno == EINTR) {
  }
  return (fds[0].revents & POLLIN) == 0;
}

}  // namespace bulkhead::controlplane
