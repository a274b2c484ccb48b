// The hash chain of the audit log.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// What the first record has as its previous hash: 32 zero bytes.
std::string AuditGenesisHash();

// SHA-256 (32 bytes) over `previous_hash` and every field of the record but `hash`. The time counts in whole
// microseconds, as the database keeps it. Pure; thread safe.
std::string AuditRecordHash(const std::string& previous_hash, const AuditRecord& record);

// Walks a log, or a part of one, in order of sequence. Not thread safe.
class AuditChainChecker {
 public:
  // From the first record.
  AuditChainChecker() = default;
  // From the record after `before`, which has this hash.
  AuditChainChecker(uint64_t before, std::string hash) : last_(before), previous_hash_(std::move(hash)) {}

  // Takes the next record; returns false, and remembers why, at the first that does not fit. Later calls return false.
  bool Take(const AuditRecord& record);
  // Compares the end of the log with the head that is stored beside it, which tells when records were cut off at the
  // end.
  bool Finish(uint64_t head_sequence, const std::string& head_hash);

  uint64_t records() const { return records_; }
  // The last record that fits, and its hash.
  uint64_t last_sequence() const { return last_; }
  const std::string& last_hash() const { return previous_hash_; }
  uint64_t first_bad_sequence() const { return first_bad_; }
  const std::string& problem() const { return problem_; }

 private:
  bool Fail(uint64_t sequence, std::string problem);

  uint64_t records_ = 0;
  uint64_t last_ = 0;
  std::string previous_hash_ = AuditGenesisHash();
  uint64_t first_bad_ = 0;
  std::string problem_;
};

}  // namespace bulkhead::controlplane
