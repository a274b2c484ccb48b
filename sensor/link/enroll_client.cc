// The one call that a host makes before it has an identity.
#include "sensor/link/enroll_client.h"

#include <grpcpp/client_context.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "common/deadline.h"
#include "common/errno_status.h"
#include "sensor/link/channel.h"
#include "sensor/link/resolver.h"

namespace bulkhead::sensor {

absl::StatusOr<EnrollAnswer> Enroll(const EnrollRequest& request, absl::Duration timeout) {
  const Deadline deadline(timeout);
  const std::vector<ResolvedHost> hosts = Resolver({}).Resolve({request.control_plane}, timeout);
  if (hosts.empty()) {
    return absl::UnavailableError(absl::StrCat("the name ", request.control_plane.host, " does not resolve"));
  }
  v1::EnrollRequest message;
  message.set_token(request.token);
  message.set_name(request.name);
  message.set_certificate_request(request.csr_der);
  absl::Status last;
  for (const ControlPlaneEndpoint& endpoint : hosts[0].endpoints) {
    const auto stub = v1::EnrollmentService::NewStub(
        MakeChannel(request.control_plane, endpoint, Credentials{"", "", request.trust_bundle_pem}));
    grpc::ClientContext context;
    context.set_deadline(deadline.OnWallClock());
    v1::EnrollResponse answer;
    const grpc::Status status = stub->Enroll(&context, message, &answer);
    if (status.ok()) {
      return EnrollAnswer{answer.sensor_id(), answer.name(), answer.certificate_chain_pem(), answer.trust_bundle_pem()};
    }
    last = Annotate(DownFromStatus(status).status, absl::StrCat("enrolling at ", ToString(request.control_plane), " (",
                                                                endpoint.address.ToString(), ")"));
    // Any answer of a control plane is final: the token may be used up.
    if (!absl::IsUnavailable(last)) return last;
  }
  return last;
}

}  // namespace bulkhead::sensor
