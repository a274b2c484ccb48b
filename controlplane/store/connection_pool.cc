// Connections to PostgreSQL: opened with our session settings, lent to one thread at a time.
#include "controlplane/store/connection_pool.h"

#include <libpq-fe.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "controlplane/store/pg_errors.h"

namespace bulkhead::controlplane {
namespace {

using Parameters = std::map<std::string, std::string>;

// Only a server that takes writes will do. A peer that vanished without a word must not hold a thread for the kernel's
// default of many minutes: a standby takes over sooner.
const Parameters& DefaultParameters() {
  static const auto* const defaults =
      new Parameters{{"target_session_attrs", "read-write"}, {"keepalives_idle", "10"},
                     {"keepalives_interval", "3"},           {"keepalives_count", "3"},
                     {"tcp_user_timeout", "15000"},          {"application_name", "bulkhead-controlplane"}};
  return *defaults;
}

constexpr char kSessionSettings[] =
    "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET client_encoding = 'UTF8'; SET bytea_output = 'hex'; "
    "SET statement_timeout = '60s'; SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '60s'";

// The first eight digits of a WAL file's name are the timeline.
constexpr char kDescribeServer[] =
    "SELECT (SELECT system_identifier FROM pg_control_system()),"
    " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer";

// What a host parameter names: "db1,db2" are two.
size_t Count(const std::string& list) {
  return 1 + static_cast<size_t>(std::count(list.begin(), list.end(), ','));
}

// The connection string, in URI or keyword form, with our defaults for what it leaves open.
absl::StatusOr<Parameters> WithDefaults(const std::string& connection_string) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(connection_string.c_str(), &error);
  if (options == nullptr) {
    const std::string text = error == nullptr ? "out of memory" : error;
    PQfreemem(error);
    return absl::InvalidArgumentError(absl::StrCat("the PostgreSQL connection string cannot be read: ", text));
  }
  Parameters parameters = DefaultParameters();
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parameters[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  parameters.try_emplace("connect_timeout", Count(parameters["host"]) > 1 ? "3" : "10");
  return parameters;
}

// The same hosts, the first of them last. libpq goes through them in order.
void PutFirstHostLast(Parameters* parameters) {
  for (const char* name : {"host", "hostaddr", "port"}) {
    std::string& list = (*parameters)[name];
    const size_t comma = list.find(',');
    if (comma != std::string::npos) list = absl::StrCat(list.substr(comma + 1), ",", list.substr(0, comma));
  }
}

std::string Text(const Parameters& parameters) {
  std::string out;
  for (const auto& [keyword, value] : parameters) {
    if (!value.empty())
      absl::StrAppend(&out, keyword, "='", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "' ");
  }
  return out;
}

absl::Status CheckFence(pqxx::nontransaction& session, TimelineFence* fence) {
  if (fence == nullptr) return absl::OkStatus();
  const pqxx::row server = session.exec1(kDescribeServer);
  return fence->Check({.system = server[0].as<uint64_t>(), .timeline = server[1].as<uint32_t>()});
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgConnection>> PgConnection::OpenFirst(const std::string& connection_string,
                                                                      TimelineFence* fence) {
  try {
    std::unique_ptr<PgConnection> opened(new PgConnection(connection_string));
    pqxx::nontransaction session(opened->get());
    session.exec(kSessionSettings);
    RETURN_IF_ERROR(CheckFence(session, fence));
    return opened;
  } catch (...) {
    return FailureFromCurrentException("connect to PostgreSQL").status;
  }
}

absl::StatusOr<std::unique_ptr<PgConnection>> PgConnection::Open(const std::string& connection_string,
                                                                 TimelineFence* fence) {
  ASSIGN_OR_RETURN(Parameters parameters, WithDefaults(connection_string));
  absl::StatusOr<std::unique_ptr<PgConnection>> opened = OpenFirst(Text(parameters), fence);
  // An old primary that takes writes may stand before the one that has taken over from it.
  for (size_t i = 1; absl::IsFailedPrecondition(opened.status()) && i < Count(parameters["host"]); ++i) {
    PutFirstHostLast(&parameters);
    opened = OpenFirst(Text(parameters), fence);
  }
  if (absl::IsFailedPrecondition(opened.status())) return absl::UnavailableError(opened.status().message());
  return opened;
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
  absl::StatusOr<std::unique_ptr<PgConnection>> opened = PgConnection::Open(connection_string_, fence_);
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
