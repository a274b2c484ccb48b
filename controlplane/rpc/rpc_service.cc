// The one gRPC reactor of the control plane, and its registration for each RPC of a service.
#include "controlplane/rpc/rpc_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/rpc/exchange.h"
#include "controlplane/rpc/grpc_status.h"
#include "controlplane/rpc/request_id.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/impl/codegen/server_callback_handlers.h"

namespace bulkhead::controlplane {
namespace {

using grpc::ByteBuffer;

// Messages that may wait behind the one in flight. A sensor gets few; a watcher is fed on demand.
constexpr size_t kMaxQueuedMessages = 256;

std::string ToBytes(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

Peer PeerOf(const grpc::CallbackServerContext& context) {
  Peer peer{.address = context.peer(), .leaf_pem = {}, .request_id = {}};
  const auto asked = context.client_metadata().find(kRequestIdKey);
  peer.request_id = RequestIdFor(asked == context.client_metadata().end()
                                     ? absl::string_view()
                                     : absl::string_view(asked->second.data(), asked->second.size()));
  const auto certificates = context.auth_context()->FindPropertyValues("x509_pem_cert");
  if (!certificates.empty()) peer.leaf_pem.assign(certificates[0].data(), certificates[0].size());
  return peer;
}

// Connects gRPC's reactions with a StreamSession and an Exchange. Deletes itself when gRPC is done with it.
class CallReactor final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>, public StreamSession::Transport {
 public:
  CallReactor(grpc::CallbackServerContext* context, const std::string& path, const Method* method, const Gate* gate,
              PeerLimiter* limiter, CallObserver* observer, const Peer& peer)
      : context_(context),
        request_id_(peer.request_id),
        session_(std::make_shared<StreamSession>(this, kMaxQueuedMessages)),
        exchange_(std::make_shared<Exchange>(path, method, gate, limiter, peer, session_, observer)) {
    context_->AddInitialMetadata(kRequestIdKey, request_id_);
    exchange_->Start();
  }

  void OnReadDone(bool ok) override {
    session_->OnReadDone();
    if (ok) {
      exchange_->OnMessage(ToBytes(incoming_));
    } else {
      exchange_->OnPeerDone();
    }
  }
  void OnWriteDone(bool ok) override {
    session_->OnWriteDone(ok);
    if (session_->idle()) exchange_->OnDrained();
  }
  void OnCancel() override { session_->OnCancelled(); }
  void OnDone() override {
    session_->Detach();
    exchange_->OnEnded(finished_with_);
    delete this;
  }

 private:
  using Reactor = grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>;

  void StartRead() override { Reactor::StartRead(&incoming_); }
  void StartWrite(const std::string& message) override {
    const grpc::Slice slice(message);
    outgoing_ = ByteBuffer(&slice, 1);
    Reactor::StartWrite(&outgoing_);
  }
  void Finish(const grpc::Status& status) override {
    finished_with_ = WithRequestId(status, request_id_);
    Reactor::Finish(finished_with_);
  }
  void Cancel() override { context_->TryCancel(); }

  grpc::CallbackServerContext* const context_;
  const std::string request_id_;
  grpc::Status finished_with_;  // gRPC calls OnDone after Finish, once
  ByteBuffer incoming_;
  ByteBuffer outgoing_;
  const std::shared_ptr<StreamSession> session_;
  const std::shared_ptr<Exchange> exchange_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcService>> RpcService::Create(const google::protobuf::ServiceDescriptor& service,
                                                               const MethodTable& table, const Gate& gate,
                                                               PeerLimiter& limiter, CallObserver* observer) {
  std::unique_ptr<RpcService> made(new RpcService());
  made->name_ = service.full_name();
  made->paths_.reserve(service.method_count());
  for (int i = 0; i < service.method_count(); ++i) {
    const std::string path = absl::StrCat("/", service.full_name(), "/", service.method(i)->name());
    const Method* method = table.Find(path);
    if (method == nullptr) return absl::FailedPreconditionError(absl::StrCat("nothing answers ", path));
    made->AddRow(path, *method, gate, limiter, observer);
  }
  return made;
}

void RpcService::AddRow(const std::string& path, const Method& method, const Gate& gate, PeerLimiter& limiter,
                        CallObserver* observer) {
  paths_.push_back(path);
  // To a server a unary call is a stream of one message each way, so one reactor serves every shape.
  AddMethod(
      new grpc::internal::RpcServiceMethod(paths_.back().c_str(), grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
  const auto react = [path, &method, &gate, &limiter, observer](grpc::CallbackServerContext* context) {
    return new CallReactor(context, path, &method, &gate, &limiter, observer, PeerOf(*context));
  };
  MarkMethodRawCallback(rows_++, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(react));
}

}  // namespace bulkhead::controlplane
