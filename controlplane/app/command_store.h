// The store as commands that come and go open it.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "controlplane/app/database.h"
#include "controlplane/app/options.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// With one connection, and refusing what a server refuses: an old primary that came back, a read-only one.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const Options& options, const Database& database);

}  // namespace bulkhead::controlplane
