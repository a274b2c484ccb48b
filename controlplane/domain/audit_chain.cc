// The hash chain of the audit log.
#include "controlplane/domain/audit_chain.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "controlplane/domain/canonical_encoding.h"

namespace bulkhead::controlplane {

std::string AuditGenesisHash() {
  return std::string(32, '\0');
}

std::string AuditRecordHash(const std::string& previous_hash, const AuditRecord& record) {
  CanonicalEncoding out;
  out.Add("bulkhead.audit.v1").Add(previous_hash).Add(record.sequence);
  out.Add(static_cast<uint64_t>(absl::ToUnixMicros(record.time)));
  out.Add(record.actor).Add(record.action).Add(record.target).Add(record.request_id).Add(record.outcome);
  out.Add(record.details_json);
  return Sha256(out.bytes());
}

bool AuditChainChecker::Take(const AuditRecord& record) {
  if (first_bad_ != 0) return false;
  const uint64_t expected = last_ + 1;
  if (record.sequence != expected) {
    return Fail(expected,
                absl::StrCat("record ", expected, " is missing; the next one has the number ", record.sequence));
  }
  if (record.hash != AuditRecordHash(previous_hash_, record)) {
    return Fail(expected,
                absl::StrCat("record ", expected, " was changed, or its hash was: they do not belong together"));
  }
  previous_hash_ = record.hash;
  ++records_;
  last_ = record.sequence;
  return true;
}

bool AuditChainChecker::Finish(uint64_t head_sequence, const std::string& head_hash) {
  if (first_bad_ != 0) return false;
  if (head_sequence > last_) {
    return Fail(last_ + 1, absl::StrCat("records ", last_ + 1, "..", head_sequence, " are missing at the end"));
  }
  if (head_sequence != last_ || head_hash != previous_hash_) {
    return Fail(last_, "the last record is not the one that the log's head names");
  }
  return true;
}

bool AuditChainChecker::Fail(uint64_t sequence, std::string problem) {
  first_bad_ = sequence == 0 ? 1 : sequence;
  problem_ = std::move(problem);
  return false;
}

}  // namespace bulkhead::controlplane
