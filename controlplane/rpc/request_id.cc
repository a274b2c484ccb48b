// The id that one call has in logs, answers and errors.
#include "controlplane/rpc/request_id.h"

#include "common/uuid.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {

std::string RequestIdFor(absl::string_view asked) {
  return !asked.empty() && ValidateRequestId(asked).ok() ? std::string(asked) : NewUuid();
}

}  // namespace bulkhead::controlplane
