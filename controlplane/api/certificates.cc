// CertificateService: the roots that clients should trust.
#include "bulkhead/v1/certificate_service.pb.h"
#include "controlplane/api/api_context.h"
#include "controlplane/api/handlers.h"

namespace bulkhead::controlplane {

void AddCertificateMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::GetTrustBundleRequest, v1::GetTrustBundleResponse>(
      api, table, "/bulkhead.v1.CertificateService/GetTrustBundle",
      [](const ApiContext& context, const v1::GetTrustBundleRequest&) -> absl::StatusOr<v1::GetTrustBundleResponse> {
        v1::GetTrustBundleResponse response;
        response.set_trust_bundle_pem(context.authority->trust_bundle_pem());
        return response;
      });
}

}  // namespace bulkhead::controlplane
