// The link over gRPC.
#include "sensor/link/grpc_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errno_status.h"
#include "sensor/link/channel.h"
#include "sensor/link/session.h"

namespace bulkhead::sensor {

GrpcLink::GrpcLink(GrpcLinkOptions options, std::function<void(LinkMessage)> sink)
    : options_(std::move(options)), sink_(std::move(sink)), resolver_(options_.known), worker_([this] { Work(); }) {}

GrpcLink::~GrpcLink() {
  Close(absl::CancelledError("the sensor is stopping"));
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  worker_.join();
}

void GrpcLink::Connect(const Credentials& credentials) {
  absl::MutexLock lock(&mutex_);
  attempt_ = Attempt{credentials};
}

void GrpcLink::Open(const HelloMessage& hello) {
  absl::MutexLock lock(&mutex_);
  if (attempt_.has_value()) attempt_->hello = hello;
}

bool GrpcLink::Send(const OutgoingMessage& message) {
  absl::MutexLock lock(&mutex_);
  return session_ != nullptr && session_->Send(message);
}

void GrpcLink::Close(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  if (attempt_.has_value()) attempt_->closed = why;
  if (session_ != nullptr) session_->Close(why);
}

void GrpcLink::Work() {
  Credentials credentials;
  while (WaitForAttempt(&credentials)) {
    LinkDown down = RunAttempt(credentials);
    {
      absl::MutexLock lock(&mutex_);
      attempt_.reset();
    }
    sink_(std::move(down));
  }
}

bool GrpcLink::WaitForAttempt(Credentials* credentials) {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &GrpcLink::HasAttempt));
  if (stopping_) return false;
  *credentials = attempt_->credentials;
  return true;
}

LinkDown GrpcLink::RunAttempt(const Credentials& credentials) {
  std::vector<ResolvedHost> hosts = resolver_.Resolve(options_.control_planes, options_.resolve_timeout);
  const std::vector<Candidate> candidates = Shuffle(hosts);
  sink_(LinkResolved{std::move(hosts)});
  if (candidates.empty()) {
    const auto append_name = [](std::string* out, const HostPort& name) { absl::StrAppend(out, ToString(name)); };
    return LinkDown{absl::UnavailableError(absl::StrCat("no address is known for ",
                                                        absl::StrJoin(options_.control_planes, ", ", append_name),
                                                        "; check the name and this host's DNS"))};
  }
  const absl::StatusOr<HelloMessage> hello = WaitForHello();
  if (!hello.ok()) return LinkDown{hello.status()};
  LinkDown down;
  for (const Candidate& candidate : candidates) {
    bool welcomed = false;
    down = RunSession(candidate, credentials, *hello, &welcomed);
    if (welcomed) {
      resolver_.MarkWorking(candidate.name, candidate.endpoint);
      return down;
    }
    // A typed refusal is the answer of the fleet, not of one address.
    if (!down.reason.empty() || absl::IsCancelled(down.status)) return down;
  }
  return down;
}

absl::StatusOr<HelloMessage> GrpcLink::WaitForHello() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &GrpcLink::HasHello));
  if (!attempt_->closed.ok()) return attempt_->closed;
  if (stopping_) return absl::CancelledError("the sensor is stopping");
  return *attempt_->hello;
}

LinkDown GrpcLink::RunSession(const Candidate& candidate, const Credentials& credentials, const HelloMessage& hello,
                              bool* welcomed) {
  const std::string address = absl::StrCat(ToString(candidate.name), " (", candidate.endpoint.address.ToString(), ")");
  const auto session = std::make_shared<Session>(MakeChannel(candidate.name, candidate.endpoint, credentials), address);
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || !attempt_->closed.ok()) return LinkDown{absl::CancelledError("closed while dialling")};
    session_ = session;
  }
  LinkDown down = session->Run(hello, sink_);
  absl::MutexLock lock(&mutex_);
  session_.reset();
  *welcomed = session->welcomed();
  down.status = Annotate(down.status, absl::StrCat("talking to ", address));
  return down;
}

std::vector<GrpcLink::Candidate> GrpcLink::Shuffle(const std::vector<ResolvedHost>& hosts) {
  std::vector<Candidate> out;
  for (const ResolvedHost& host : hosts) {
    for (const ControlPlaneEndpoint& endpoint : host.endpoints) out.push_back({host.name, endpoint});
  }
  for (size_t i = out.size(); i > 1; --i) {
    std::swap(out[i - 1], out[static_cast<size_t>(options_.uniform() * static_cast<double>(i))]);
  }
  return out;
}

}  // namespace bulkhead::sensor
