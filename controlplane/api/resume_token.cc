// The token by which a watch of sensors goes on where an earlier one ended.
#include "controlplane/api/resume_token.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/page_token.h"

namespace bulkhead::controlplane {
namespace {

// Rows carry 32 bits of the number of the transaction that wrote them; half of that leaves room for what comes.
constexpr uint64_t kMaxTransactions = uint64_t{1} << 31;

}  // namespace

std::string EncodeResumeToken(absl::string_view watch, const ChangeMoment& moment) {
  return EncodePageToken(
      watch, {moment.database, absl::StrCat(moment.transaction), absl::StrCat(absl::ToUnixMicros(moment.time))});
}

absl::StatusOr<ChangeMoment> DecodeResumeToken(absl::string_view watch, absl::string_view token) {
  const auto keys = DecodePageToken(watch, 3, token);
  ChangeMoment moment;
  int64_t micros = 0;
  if (!keys.ok() || keys->empty() || !absl::SimpleAtoi((*keys)[1], &moment.transaction) ||
      !absl::SimpleAtoi((*keys)[2], &micros)) {
    return InvalidField("resume_token", "is not a resume_token of a watch of the same sensors; watch without it");
  }
  moment.database = (*keys)[0];
  moment.time = absl::FromUnixMicros(micros);
  return moment;
}

absl::Status CheckResumable(const ChangeMoment& token, const ChangeMoment& now) {
  if (token.database != now.database) return ResumeTokenExpired("the database was replaced, or failed over, since");
  if (token.transaction > now.transaction) return ResumeTokenExpired("the database was set back since");
  if (now.time - token.time > kResumeTokenLife) return ResumeTokenExpired("it is older than 7 days");
  if (now.transaction - token.transaction >= kMaxTransactions) {
    return ResumeTokenExpired("too many transactions have passed since");
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
