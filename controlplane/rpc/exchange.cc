// Admission, dispatch and the log line of every call.
#include "controlplane/rpc/exchange.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/hex.h"
#include "common/log.h"
#include "controlplane/rpc/grpc_status.h"

namespace bulkhead::controlplane {

namespace {

// "ipv4:192.0.2.1:4711" and "ipv6:%5B2001:db8::1%5D:4711" or "ipv6:[2001:db8::1]:4711", as gRPC writes peers; empty for
// any other.
std::string NumericAddress(absl::string_view peer) {
  const bool is_ipv6 = absl::ConsumePrefix(&peer, "ipv6:");
  if (!is_ipv6 && !absl::ConsumePrefix(&peer, "ipv4:")) return "";
  const size_t port = peer.rfind(':');
  if (port == absl::string_view::npos) return "";
  peer = peer.substr(0, port);
  if (absl::ConsumePrefix(&peer, "[")) absl::ConsumeSuffix(&peer, "]");
  if (absl::ConsumePrefix(&peer, "%5B")) absl::ConsumeSuffix(&peer, "%5D");
  return std::string(peer);
}

}  // namespace

Exchange::Exchange(std::string path, const Method* method, const Gate* gate, PeerLimiter* limiter, Peer peer,
                   std::shared_ptr<StreamSession> session, CallObserver* observer)
    : path_(std::move(path)),
      method_(method),
      gate_(gate),
      limiter_(limiter),
      peer_(std::move(peer)),
      // The handshake proved that the peer has the key of this certificate, whatever it is worth.
      limited_as_(peer_.leaf_pem.empty() ? NumericAddress(peer_.address) : Sha256(peer_.leaf_pem)),
      session_(std::move(session)),
      observer_(observer),
      began_(absl::Now()) {}

void Exchange::Start() {
  if (observer_) observer_->OnCallStarted(path_, method_->stream != nullptr);
  if (const absl::Status entered = limiter_->Enter(limited_as_, began_); !entered.ok()) {
    return session_->Close(ToGrpcStatus(entered), absl::Now());
  }
  {
    absl::MutexLock lock(&mutex_);
    entered_ = true;
  }
  Post([self = shared_from_this()] { self->Admit(); });
}

void Exchange::Admit() {
  absl::StatusOr<Caller> caller = gate_->Admit(peer_.leaf_pem, method_->access, path_);
  if (!caller.ok()) return Refuse(caller.status());
  caller_ = *std::move(caller);
  caller_.address = NumericAddress(peer_.address);
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
  bool entered = false;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    caller = caller_name_;
    admitted = admitted_;
    receiver = std::move(handler_);
    handler_.reset();
    entered = std::exchange(entered_, false);
  }
  if (entered) limiter_->Leave(limited_as_);
  if (receiver) receiver->OnEnded();
  // A flood that is refused must not fill the log either.
  TellEnd(entered ? LogInfo : LogDebug, status, caller, admitted);
}

void Exchange::TellEnd(LogFunction* log, const grpc::Status& status, const std::string& caller, bool admitted) const {
  const std::string code = CodeName(status.error_code());
  const std::string reason = RefusalReason(status);
  const absl::Duration duration = absl::Now() - began_;
  log("call", {{"rpc", path_},
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
