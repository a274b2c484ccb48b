// Keeps libbpf's complaints, so that a failed load can say why in one line instead of printing pages.
#pragma once

#include <string>

namespace bulkhead::sensor {

// Takes over libbpf's printing for the whole process; call before any other libbpf function. Safe to call again.
void CaptureLibbpfLog();

// The last warning of this thread since the call before, in one line; empty when there was none.
std::string TakeLibbpfWarning();

}  // namespace bulkhead::sensor
