// The orders of a leak run, carried out by the sensor's own datapath.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/datapath.h"

namespace bulkhead::leak {

class Wall {
 public:
  // `scope`: see DatapathOptions; empty for the whole host.
  static absl::StatusOr<std::unique_ptr<Wall>> Open(const std::string& scope);
  ~Wall();

  // "open", "contain" or "isolate".
  absl::Status Order(const std::string& order);

  // What the datapath found that it can do here: one line of words.
  std::string Layers() const;

 private:
  explicit Wall(std::string scope) : scope_(std::move(scope)) {}

  const std::string scope_;
  std::unique_ptr<sensor::Datapath> datapath_;
  uint64_t generation_ = 0;
};

}  // namespace bulkhead::leak
