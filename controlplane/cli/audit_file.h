// An exported audit log in a file, checked without a control plane.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane::cli {

// The number and hash of one record, known from elsewhere.
struct AuditHead {
  uint64_t sequence = 0;
  std::string hash;  // 32 bytes
};

// "1234:<64 hexadecimal digits>", as `audit head` prints it; a usage error otherwise.
absl::StatusOr<AuditHead> AuditHeadFromText(absl::string_view text);
std::string AuditHeadText(uint64_t sequence, const std::string& hash);

// What a file was found to be.
struct AuditFile {
  uint64_t records = 0;
  uint64_t first = 0;
  AuditHead last;
};

// Reads one bulkhead.v1.AuditRecord a line, as `audit export` writes them, and checks that each hash is that of its
// record and of the one before, from the first line to the last, and that `expected`, when given, is among them.
// DataLoss with the first record that is wrong; InvalidArgument with the line that is no record.
absl::StatusOr<AuditFile> VerifyAuditFile(std::istream& in, const std::optional<AuditHead>& expected);

}  // namespace bulkhead::controlplane::cli
