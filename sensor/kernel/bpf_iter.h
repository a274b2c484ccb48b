// Runs one BPF iterator program from start to end.
#pragma once

#include <string>

#include "absl/status/statusor.h"

struct bpf_program;
struct bpf_iter_attach_opts;

namespace bulkhead::sensor {

// Returns everything that the program wrote. `options` narrow the walk; may be null. A walk over sockets sees those of
// the calling thread's network namespace.
absl::StatusOr<std::string> RunIterator(const bpf_program* program, const bpf_iter_attach_opts* options);

}  // namespace bulkhead::sensor
