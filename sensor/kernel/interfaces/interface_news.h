// Tells at once when an interface appears or changes.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

// Of the network namespace of the thread that opened it. Not thread safe.
class InterfaceNews {
 public:
  static absl::StatusOr<InterfaceNews> Open();

  // Readable when there is news.
  int fd() const { return fd_.get(); }

  // Forgets what there is: the reader looks at the interfaces themselves, and so misses nothing when the kernel had to
  // drop messages. Never blocks.
  void Drain() const;

 private:
  explicit InterfaceNews(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace bulkhead::sensor
