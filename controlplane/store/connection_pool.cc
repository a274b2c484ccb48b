// Connections to PostgreSQL: opened with our session settings, lent to one thread at a time.
#include "controlplane/store/connection_pool.h"

#include <libpq-fe.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controlplane/store/pg_errors.h"

namespace bulkhead::controlplane {
namespace {

// A peer that vanished without a word must not hold a thread for the kernel's default of many minutes.
const std::map<std::string, std::string>& DefaultParameters() {
  static const auto* const defaults = new std::map<std::string, std::string>{
      {"connect_timeout", "10"}, {"keepalives_idle", "30"},     {"keepalives_interval", "10"},
      {"keepalives_count", "3"}, {"tcp_user_timeout", "60000"}, {"application_name", "bulkhead-controlplane"}};
  return *defaults;
}

constexpr char kSessionSettings[] =
    "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET client_encoding = 'UTF8'; SET bytea_output = 'hex'; "
    "SET statement_timeout = '60s'; SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '60s'";

// The connection string, in URI or keyword form, with our defaults for what it leaves open.
absl::StatusOr<std::string> WithDefaults(const std::string& connection_string) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(connection_string.c_str(), &error);
  if (options == nullptr) {
    const std::string text = error == nullptr ? "out of memory" : error;
    PQfreemem(error);
    return absl::InvalidArgumentError(absl::StrCat("the PostgreSQL connection string cannot be read: ", text));
  }
  std::map<std::string, std::string> parameters = DefaultParameters();
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parameters[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  std::string out;
  for (const auto& [keyword, value] : parameters) {
    absl::StrAppend(&out, keyword, "='", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "' ");
  }
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgConnection>> PgConnection::Open(const std::string& connection_string) {
  absl::StatusOr<std::string> full = WithDefaults(connection_string);
  if (!full.ok()) return full.status();
  try {
    std::unique_ptr<PgConnection> opened(new PgConnection(*full));
    pqxx::nontransaction session(opened->get());
    session.exec(kSessionSettings);
    return opened;
  } catch (...) {
    return FailureFromCurrentException("connect to PostgreSQL").status;
  }
}

absl::StatusOr<ConnectionPool::Lease> ConnectionPool::Acquire() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!freed_.wait_for(lock, longest_wait_, [this] { return lent_ < size_; })) {
    return absl::UnavailableError(absl::StrCat("all ", size_, " database connections are busy; try again"));
  }
  ++lent_;
  while (!idle_.empty()) {
    std::unique_ptr<PgConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->get().is_open()) return Lease(this, std::move(connection));
  }
  lock.unlock();
  absl::StatusOr<std::unique_ptr<PgConnection>> opened = PgConnection::Open(connection_string_);
  if (opened.ok()) return Lease(this, *std::move(opened));
  lock.lock();
  --lent_;
  freed_.notify_one();
  return opened.status();
}

PoolFigures ConnectionPool::Figures() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {.size = size_, .lent = lent_, .idle = static_cast<int>(idle_.size())};
}

void ConnectionPool::DropIdle() {
  std::vector<std::unique_ptr<PgConnection>> dropped;
  const std::lock_guard<std::mutex> lock(mutex_);
  dropped.swap(idle_);
}

void ConnectionPool::GiveBack(std::unique_ptr<PgConnection> connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  --lent_;
  if (connection->get().is_open()) idle_.push_back(std::move(connection));
  freed_.notify_one();
}

}  // namespace bulkhead::controlplane
