// The store as commands that come and go open it.
#include "controlplane/app/command_store.h"

namespace bulkhead::controlplane {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const Options& options, const Database& database) {
  Store::Options store;
  store.connection_string = database.connection_string();
  store.timeline_file = TimelineFile(options);
  store.pool_size = 1;
  return Store::Open(store);
}

}  // namespace bulkhead::controlplane
