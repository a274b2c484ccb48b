// One call from admission to its end, without gRPC's types: admit, then run the unary handler or feed the stream
// handler.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/log.h"
#include "controlplane/rpc/call_observer.h"
#include "controlplane/rpc/method_table.h"
#include "controlplane/rpc/peer_limiter.h"

namespace bulkhead::controlplane {

// What is known about the other side before anything is checked.
struct Peer {
  std::string address;   // as gRPC writes it, for the log
  std::string leaf_pem;  // certificate that it presented in the TLS handshake; empty: none
  std::string request_id;
};

// The one place through which every call of every service passes. Thread safe; kept alive by the reactor and by work in
// progress.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  // `path` names the RPC. `method`, `gate`, `limiter` and `observer` (null: nobody counts) outlive the exchange.
  Exchange(std::string path, const Method* method, const Gate* gate, PeerLimiter* limiter, Peer peer,
           std::shared_ptr<StreamSession> session, CallObserver* observer);

  // Refuses a peer that calls too much, admits the caller on a worker, then asks for the first message.
  void Start();
  void OnMessage(std::string bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnPeerDone() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDrained() ABSL_LOCKS_EXCLUDED(mutex_);
  // `status` is what the caller was sent.
  void OnEnded(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  StreamSession& session() { return *session_; }

 private:
  void Admit();
  void RunUnary(const std::string& request);
  void Refuse(const absl::Status& status);
  // Runs `work` on a worker, or refuses the call when there is no room.
  void Post(std::function<void()> work);
  std::shared_ptr<StreamHandler> handler() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes the call's line in the access log, and tells the observer.
  using LogFunction = void(absl::string_view message, std::initializer_list<LogField> fields);
  void TellEnd(LogFunction* log, const grpc::Status& status, const std::string& caller, bool admitted) const;

  const std::string path_;
  const Method* const method_;
  const Gate* const gate_;
  PeerLimiter* const limiter_;
  const Peer peer_;
  const std::string limited_as_;  // the peer, to the limiter
  const std::shared_ptr<StreamSession> session_;
  CallObserver* const observer_;
  const absl::Time began_;
  Caller caller_;  // written once by Admit, before the first message is asked for
  mutable absl::Mutex mutex_;
  bool entered_ ABSL_GUARDED_BY(mutex_) = false;  // the limiter counts this call
  bool got_request_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool admitted_ ABSL_GUARDED_BY(mutex_) = false;
  std::string caller_name_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<StreamHandler> handler_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::controlplane
