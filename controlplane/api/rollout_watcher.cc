// What a watcher of a rollout sends, and when it ends.
#include "controlplane/api/rollout_watcher.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/log.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/watch_hub.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kTokenBytes = 64;

absl::StatusOr<v1::WatchRolloutRequest> Parse(const std::string& bytes) {
  v1::WatchRolloutRequest request;
  RETURN_IF_ERROR(ParseStrictly(bytes, &request));
  RETURN_IF_ERROR(ValidateUuid("id", request.id()));
  const std::string& token = request.resume_token();
  const bool is_token = token.size() == kTokenBytes && token.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!token.empty() && !is_token) {
    return InvalidField("resume_token", "is not a resume_token of a watch of a rollout; watch without it");
  }
  return request;
}

}  // namespace

RolloutWatcher::RolloutWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller,
                               std::shared_ptr<StreamSession> stream)
    : Watcher(api, caller, std::move(stream), "sensors:read"), hub_(hub), strand_(api->workers) {}

void RolloutWatcher::OnMessage(std::string bytes) {
  const absl::StatusOr<v1::WatchRolloutRequest> request = Parse(bytes);
  if (!request.ok()) return End(request.status());
  {
    absl::MutexLock lock(&mutex_);
    rollout_id_ = request->id();
    token_ = request->resume_token();
    changed_ = true;
  }
  Wake();
}

void RolloutWatcher::OnEnded() {
  hub_->Remove(this);
}

void RolloutWatcher::OnChange(const std::string& changed) {
  {
    absl::MutexLock lock(&mutex_);
    if (rollout_id_.empty() || changed != absl::StrCat(kRolloutChange, rollout_id_)) return;
    changed_ = true;
  }
  Wake();
}

void RolloutWatcher::OnSweep() {
  {
    absl::MutexLock lock(&mutex_);
    if (rollout_id_.empty()) return;
    changed_ = true;
  }
  Wake();
}

void RolloutWatcher::Wake() {
  // No room among the workers: nothing is lost, the next sweep wakes it again.
  strand_.Wake([self = shared_from_this()] { self->Step(); });
}

void RolloutWatcher::Step() {
  std::string id;
  {
    absl::MutexLock lock(&mutex_);
    if (!stream_->idle() || stream_->closed() || !std::exchange(changed_, false)) return;
    id = rollout_id_;
  }
  absl::Status status = CheckCaller();
  if (status.ok()) status = Send(id);
  if (status.ok()) return;
  LogInfo("watch ended", {{"caller", caller_.name}, {"error", status.ToString()}});
  End(status);
}

absl::Status RolloutWatcher::Send(const std::string& rollout_id) {
  Rollout rollout;
  RETURN_IF_ERROR(api_->store->Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rollout, tx.GetRollout(rollout_id, /*lock=*/false));
    return absl::OkStatus();
  }));
  v1::WatchRolloutResponse response;
  *response.mutable_rollout() = ToProto(rollout);
  response.set_resume_token(ToHex(Sha256(SerializeDeterministically(response))));
  bool changed = false;
  {
    absl::MutexLock lock(&mutex_);
    changed = std::exchange(token_, response.resume_token()) != response.resume_token();
  }
  if (changed) stream_->Send(response.SerializeAsString());
  // What is queued is written first.
  if (rollout.ended_at) End(absl::OkStatus());
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
