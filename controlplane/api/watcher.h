// One watch call, as the hub that tells it of changes sees it.
#pragma once

#include <memory>
#include <string>

#include "controlplane/api/api_context.h"
#include "controlplane/rpc/strand.h"

namespace bulkhead::controlplane {

// Thread safe.
class Watcher : public StreamHandler {
 public:
  // `permission` is what the RPC needs (domain/roles.h), for as long as the watch lasts.
  Watcher(const ApiContext* api, const Caller& caller, std::shared_ptr<StreamSession> stream,
          absl::string_view permission)
      : api_(api), caller_(caller), stream_(std::move(stream)), permission_(permission) {}

  // What Store::Listen tells: a sensor's id, or kRolloutChange and a rollout's. Cheap.
  virtual void OnChange(const std::string& changed) = 0;
  // Look at everything again. Cheap.
  virtual void OnSweep() = 0;
  // Ends the call.
  void End(const absl::Status& status);

 protected:
  // Whether the caller may still watch: its certificate, its operator and that one's role, as of now. Blocks.
  absl::Status CheckCaller() const;

  const ApiContext* const api_;
  const Caller caller_;
  const std::shared_ptr<StreamSession> stream_;

 private:
  const std::string permission_;
};

}  // namespace bulkhead::controlplane
