// Whether this replica should get work, and why not.
#include "controlplane/app/health_monitor.h"

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(500);

// Without the database's own words, which may name hosts: they are in the log, and /readyz asks for no certificate.
std::string WhatIsWrong(const absl::Status& database, std::chrono::steady_clock::duration silence) {
  if (absl::IsFailedPrecondition(database)) return "its schema lacks migrations of this program";
  if (!database.ok()) return "does not answer";
  return absl::StrCat("silent for ", std::chrono::duration_cast<std::chrono::seconds>(silence).count(), " s");
}

}  // namespace

void HealthMonitor::Start() {
  {
    absl::MutexLock lock(&mutex_);
    listening_ = true;
  }
  Judge();
  thread_ = std::thread([this] { Loop(); });
}

void HealthMonitor::DatabaseAnswered(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  database_ = status;
  answered_at_ = std::chrono::steady_clock::now();
}

void HealthMonitor::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  pause_.Stop();
  if (!thread_.joinable()) return;
  thread_.join();
  Judge();
}

std::pair<bool, std::string> HealthMonitor::Look() const {
  absl::MutexLock lock(&mutex_);
  const auto silence = std::chrono::steady_clock::now() - answered_at_;
  const bool answers = database_.ok() && silence <= fresh_;
  const std::string database = answers ? "ok" : WhatIsWrong(database_, silence);
  const bool ready = answers && listening_ && !stopping_;
  return {ready, absl::StrCat(ready ? "ready" : "not ready", "\ndatabase: ", database, "\nlistening: ",
                              listening_ ? "ok" : "not yet", "\nshutdown: ", stopping_ ? "in progress" : "ok", "\n")};
}

void HealthMonitor::Loop() {
  while (pause_.For(kLookEvery)) Judge();
}

void HealthMonitor::Judge() {
  absl::MutexLock verdict_lock(&verdict_mutex_);
  const auto [ready, text] = Look();
  if (verdict_ == static_cast<int>(ready)) return;
  if (verdict_ != -1) LogWarning("readiness changed", {{"ready", ready ? "true" : "false"}, {"why", text}});
  verdict_ = static_cast<int>(ready);
  on_change_(ready);
}

}  // namespace bulkhead::controlplane
