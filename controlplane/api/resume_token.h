// The token by which a watch of sensors goes on where an earlier one ended.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// How long a token is good for; the store remembers deleted sensors for longer.
inline constexpr absl::Duration kResumeTokenLife = absl::Hours(24 * 7);

// `watch` names what is watched; the token is good for the same only. It holds no secret and grants nothing.
std::string EncodeResumeToken(absl::string_view watch, const ChangeMoment& moment);
// InvalidField("resume_token") when it is no token of this watch.
absl::StatusOr<ChangeMoment> DecodeResumeToken(absl::string_view watch, absl::string_view token);

// ResumeTokenExpired when what changed between the token's moment and `now` cannot be told any more: too long ago, or
// in another life of the database.
absl::Status CheckResumable(const ChangeMoment& token, const ChangeMoment& now);

}  // namespace bulkhead::controlplane
