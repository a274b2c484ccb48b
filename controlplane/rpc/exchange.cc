// Admission, dispatch and the log line of every call.
#include "controlplane/rpc/exchange.h"

#include <utility>

#include "absl/strings/match.h"
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
                   std::shared_ptr<StreamSession> session)
    : path_(std::move(path)),
      method_(method),
      gate_(gate),
      limiter_(limiter),
      peer_(std::move(peer)),
      // The handshake proved that the peer has the key of this certificate, whatever it is worth.
      limited_as_(peer_.leaf_pem.empty() ? NumericAddress(peer_.address) : Sha256(peer_.leaf_pem)),
      session_(std::move(session)) {}

void Exchange::Start() {
  if (const absl::Status entered = limiter_->Enter(limited_as_, absl::Now()); !entered.ok()) {
    // Not Refuse: a flood must not fill the log either.
    LogDebug("call refused", {{"rpc", path_}, {"peer", peer_.address}, {"error", entered.ToString()}});
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
  if (method_->stream) {
    absl::StatusOr<std::shared_ptr<StreamHandler>> made = method_->stream(caller_, session_);
    if (!made.ok()) return Refuse(made.status());
    bool ended = false;
    {
      absl::MutexLock lock(&mutex_);
      handler_ = *made;
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

void Exchange::OnEnded() {
  std::shared_ptr<StreamHandler> receiver;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    receiver = std::move(handler_);
    handler_.reset();
    if (std::exchange(entered_, false)) limiter_->Leave(limited_as_);
  }
  if (receiver) receiver->OnEnded();
}

void Exchange::RunUnary(const std::string& request) {
  // Nobody waits for the answer any more: an order whose caller gave up before it began is not carried out.
  if (session_->closed()) return;
  const absl::Time begin = absl::Now();
  absl::StatusOr<std::string> response = method_->unary(caller_, request);
  if (!response.ok()) return Refuse(response.status());
  LogDebug("call answered",
           {{"rpc", path_}, {"caller", caller_.name}, {"micros", absl::ToInt64Microseconds(absl::Now() - begin)}});
  session_->Send(*std::move(response));
  session_->Close(grpc::Status::OK, absl::Now());
}

void Exchange::Refuse(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown) {
    LogError("call failed",
             {{"rpc", path_}, {"caller", caller_.name}, {"peer", peer_.address}, {"error", status.ToString()}});
  } else {
    LogInfo("call refused",
            {{"rpc", path_}, {"caller", caller_.name}, {"peer", peer_.address}, {"error", status.ToString()}});
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
