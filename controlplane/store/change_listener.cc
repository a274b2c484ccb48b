// Hears of changes that any replica commits, on a connection and a thread of its own.
#include "controlplane/store/change_listener.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <pqxx/pqxx>
#include <utility>

#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/store/pg_errors.h"
#include "controlplane/store/pg_transaction.h"

namespace bulkhead::controlplane {
namespace {

// A connection that says nothing for so long is asked whether it still lives.
constexpr int kProbeMilliseconds = 30000;
constexpr int kFirstBackoffMilliseconds = 100;
constexpr int kLastBackoffMilliseconds = 5000;

}  // namespace

class ChangeListener::Receiver : public pqxx::notification_receiver {
 public:
  Receiver(pqxx::connection& connection, const OnChange& on_change)
      : pqxx::notification_receiver(connection, kChangeChannel), on_change_(on_change) {}

  void operator()(const std::string& payload, int) override { on_change_(payload); }

 private:
  const OnChange& on_change_;
};

ChangeListener::ChangeListener(std::string connection_string, OnChange on_change)
    : connection_string_(std::move(connection_string)), on_change_(std::move(on_change)) {}

absl::StatusOr<std::unique_ptr<ChangeListener>> ChangeListener::Start(const std::string& connection_string,
                                                                      OnChange on_change) {
  std::unique_ptr<ChangeListener> listener(new ChangeListener(connection_string, std::move(on_change)));
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
  ASSIGN_OR_RETURN(connection_, PgConnection::Open(connection_string_));
  try {
    receiver_ = std::make_unique<Receiver>(connection_->get(), on_change_);
    return absl::OkStatus();
  } catch (...) {
    return FailureFromCurrentException("listen for changes").status;
  }
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
      if (connection.get_notifs() == 0) pqxx::nontransaction(connection).exec("SELECT 1");
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
