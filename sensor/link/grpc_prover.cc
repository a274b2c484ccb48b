// Proves with TCP, then TLS, that the control plane can be reached anew.
#include "sensor/link/grpc_prover.h"

#include <errno.h>
#include <string.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/deadline.h"
#include "sensor/link/channel.h"
#include "sensor/link/tcp_prober.h"

namespace bulkhead::sensor {
namespace {

struct Candidate {
  HostPort name;
  ControlPlaneEndpoint endpoint;
};

std::vector<Candidate> CandidatesOf(const std::vector<ResolvedHost>& hosts) {
  std::vector<Candidate> out;
  for (const ResolvedHost& host : hosts) {
    for (const ControlPlaneEndpoint& endpoint : host.endpoints) out.push_back({host.name, endpoint});
  }
  return out;
}

// A channel is ready when TLS and the first HTTP/2 frames worked. Short of that the peer still answered: its packets
// came back when TCP was tried, so a slow or foreign control plane is never taken for a wall that cuts it off.
bool TryTls(const Candidate& candidate, const Credentials& credentials, const Deadline& deadline) {
  const auto channel = MakeChannel(candidate.name, candidate.endpoint, credentials);
  grpc_connectivity_state state = channel->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
    if (!channel->WaitForStateChange(state, deadline.OnWallClock())) return false;
    state = channel->GetState(true);
  }
  return state == GRPC_CHANNEL_READY;
}

Reachability FromErrno(int error) {
  if (error == EPERM || error == EACCES) return Reachability::kRefusedHere;
  return error == ECONNREFUSED || error == ECONNRESET ? Reachability::kAnswered : Reachability::kSilent;
}

}  // namespace

ConnectionProof GrpcProver::Prove(const std::vector<ResolvedHost>& hosts, const Credentials& credentials,
                                  absl::Duration timeout) {
  const Deadline deadline(timeout);
  const std::vector<Candidate> candidates = CandidatesOf(hosts);
  std::vector<ControlPlaneEndpoint> endpoints;
  for (const Candidate& candidate : candidates) endpoints.push_back(candidate.endpoint);
  // Half for TCP, so that TLS has its time too when the first answer comes late.
  const std::vector<int> errors = TryTcp(endpoints, timeout / 2);
  ConnectionProof proof{Reachability::kRefusedHere, candidates.empty() ? "no address of it is known" : ""};
  if (candidates.empty()) proof.seen = Reachability::kSilent;
  for (size_t i = 0; i < candidates.size() && proof.seen != Reachability::kConnected; ++i) {
    const bool opened = errors[i] == 0;
    const bool secured = opened && TryTls(candidates[i], credentials, deadline);
    const Reachability seen = secured  ? Reachability::kConnected
                              : opened ? Reachability::kAnswered
                                       : FromErrno(errors[i]);
    absl::StrAppend(&proof.detail, proof.detail.empty() ? "" : "; ", candidates[i].endpoint.address.ToString(),
                    " port ", candidates[i].endpoint.port, ": ",
                    secured  ? "a new TLS session was opened"
                    : opened ? "TCP works, TLS does not"
                             : strerror(errors[i]));
    proof.seen = std::min(proof.seen, seen);  // the best first
  }
  return proof;
}

}  // namespace bulkhead::sensor
