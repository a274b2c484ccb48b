// Proves connections to the control plane away from the loop.
#include "sensor/app/proof_worker.h"

#include <utility>

namespace bulkhead::sensor {

ProofWorker::ProofWorker(ConnectionProver* prover, std::function<void(ProofDone)> done)
    : prover_(prover), done_(std::move(done)), thread_([this] { Work(); }) {}

ProofWorker::~ProofWorker() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void ProofWorker::Start(uint64_t ticket, std::vector<ResolvedHost> hosts, Credentials credentials) {
  absl::MutexLock lock(&mutex_);
  waiting_ = Request{ticket, std::move(hosts), std::move(credentials)};
}

void ProofWorker::Work() {
  for (;;) {
    Request request;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &ProofWorker::HasWork));
      if (stopping_) return;
      request = *std::exchange(waiting_, std::nullopt);
    }
    done_({request.ticket, prover_->Prove(request.hosts, request.credentials, kTimeout)});
  }
}

}  // namespace bulkhead::sensor
