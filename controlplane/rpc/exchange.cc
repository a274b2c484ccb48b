// Admission, dispatch and the log line of every call.
#include "controlplane/rpc/exchange.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/log.h"
#include "controlplane/rpc/grpc_status.h"

namespace bulkhead::controlplane {

Exchange::Exchange(std::string path, const Method* method, const Gate* gate, Peer peer,
                   std::shared_ptr<StreamSession> session, CallObserver* observer)
    : path_(std::move(path)),
      method_(method),
      gate_(gate),
      peer_(std::move(peer)),
      session_(std::move(session)),
      observer_(observer),
      began_(absl::Now()) {}

void Exchange::Start() {
  if (observer_) observer_->OnCallStarted(path_, method_->stream != nullptr);
  Post([self = shared_from_this()] { self->Admit(); });
}

void Exchange::Admit() {
  absl::StatusOr<Caller> caller = gate_->Admit(peer_.leaf_pem, method_->access, path_);
  if (!caller.ok()) return Refuse(caller.status());
  caller_ = *std::move(caller);
  caller_.request_id = peer_.request_id;
  {
    absl::MutexLock lock(&mutex_);
    caller_name_ = caller_.name;
    admitted_ = !method_->stream;
  }
  if (method_->stream) {
    absl::StatusOr<std::shared_ptr<StreamHandler>> made = method_->stream(caller_, session_);
    if (!made.ok()) return Refuse(made.status());
    bool ended = false;
    {
      absl::MutexLock lock(&mutex_);
      handler_ = *made;
      admitted_ = true;
      ended = ended_;
    }
    // The peer left while its handler was being made: OnEnded found none to tell.
    if (ended) return (*made)->OnEnded();
  }
  session_->RequestRead();
}

void Exchange::OnMessage(std::string bytes) {
  if (method_->stream) {
    if (const auto receiver = handler()) receiver->OnMessage(std::move(bytes));
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    got_request_ = true;
  }
  Post([self = shared_from_this(), request = std::move(bytes)] { self->RunUnary(request); });
}

void Exchange::OnPeerDone() {
  if (const auto receiver = handler()) return receiver->OnPeerDone();
  absl::MutexLock lock(&mutex_);
  if (!got_request_)
    session_->Close(ToGrpcStatus(absl::InvalidArgumentError("the call carried no request")), absl::Now());
}

void Exchange::OnDrained() {
  if (const auto receiver = handler()) receiver->OnDrained();
}

void Exchange::OnEnded(const grpc::Status& status) {
  std::shared_ptr<StreamHandler> receiver;
  std::string caller;
  bool admitted = false;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    caller = caller_name_;
    admitted = admitted_;
    receiver = std::move(handler_);
    handler_.reset();
  }
  if (receiver) receiver->OnEnded();
  WriteAccessLog(status, caller, admitted);
}

void Exchange::WriteAccessLog(const grpc::Status& status, const std::string& caller, bool admitted) const {
  const std::string code = CodeName(status.error_code());
  const std::string reason = RefusalReason(status);
  const absl::Duration duration = absl::Now() - began_;
  LogInfo("call", {{"rpc", path_},
                   {"code", code},
                   {"reason", reason},
                   {"duration_ms", absl::StrFormat("%.3f", absl::ToDoubleMilliseconds(duration))},
                   {"caller", caller},
                   {"peer", peer_.address},
                   {"request_id", peer_.request_id},
                   {"message", status.error_message()}});
  if (observer_) {
    observer_->OnCallEnded({.path = path_,
                            .stream = method_->stream != nullptr,
                            .admitted = admitted,
                            .code = code,
                            .reason = reason,
                            .duration = duration});
  }
}

void Exchange::RunUnary(const std::string& request) {
  // Nobody waits for the answer any more: an order whose caller gave up before it began is not carried out.
  if (session_->closed()) return;
  absl::StatusOr<std::string> response = method_->unary(caller_, request);
  if (!response.ok()) return Refuse(response.status());
  session_->Send(*std::move(response));
  session_->Close(grpc::Status::OK, absl::Now());
}

void Exchange::Refuse(const absl::Status& status) {
  // The caller, and with it the access log, is told only that it is our fault.
  if (status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown) {
    LogError("call failed", {{"rpc", path_}, {"request_id", peer_.request_id}, {"error", status.ToString()}});
  }
  session_->Close(ToGrpcStatus(status), absl::Now());
}

void Exchange::Post(std::function<void()> work) {
  if (!method_->workers->Post(std::move(work))) {
    Refuse(
        absl::ResourceExhaustedError("the control plane has more calls waiting than it can answer in time; try again"));
  }
}

std::shared_ptr<StreamHandler> Exchange::handler() const {
  absl::MutexLock lock(&mutex_);
  return handler_;
}

}  // namespace bulkhead::controlplane
