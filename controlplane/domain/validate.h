// Checks of every field of every order, before anything is done. Each returns OK or InvalidField with the field that is
// to blame. Pure functions; thread safe. `field` is the field's path in the request, so that one check serves several
// requests.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr int kDefaultPageSize = 100;
inline constexpr int kMaxPageSize = 1000;
inline constexpr size_t kMaxReasonBytes = 512;
inline constexpr size_t kMaxLabelBytes = 128;
inline constexpr size_t kMaxPathBytes = 4095;
inline constexpr size_t kMaxAllowedBinaries = 4096;          // of one allow-list
inline constexpr size_t kMaxAllowedPathBytes = 1024 * 1024;  // of one allow-list, all paths together
inline constexpr size_t kMaxScopedPolicies = 16;  // containments and isolations with a scope that one sensor enforces
inline constexpr uint32_t kMaxPid = 4194304;      // the kernel's PID_MAX_LIMIT
inline constexpr absl::Duration kDefaultCommandTtl = absl::Minutes(5);
inline constexpr absl::Duration kDefaultGuardDown = absl::Minutes(10);
inline constexpr absl::Duration kLongestGuardDown = absl::Hours(1);
inline constexpr absl::Duration kDefaultTokenTtl = absl::Hours(1);
inline constexpr uint32_t kMaxTokenUses = 10'000;
inline constexpr size_t kMaxTokenNetworks = 64;

// True for well-formed UTF-8 without NUL, surrogates or overlong forms: what PostgreSQL and protobuf both take.
bool IsCleanUtf8(absl::string_view text);

// 1..63 of [a-z0-9.-], starting and ending with a letter or digit, not shaped like a UUID (that would be taken for an
// id).
absl::Status ValidateSensorName(absl::string_view field, absl::string_view name);
// A sensor's id or name, as orders name it.
absl::Status ValidateSensorReference(absl::string_view field, absl::string_view reference);
// 1..64 of [A-Za-z0-9._@-], starting with a letter or digit.
absl::Status ValidateOperatorName(absl::string_view field, absl::string_view name);
absl::Status ValidateUuid(absl::string_view field, absl::string_view id);

// At most 64 of [A-Za-z0-9._-]; empty is allowed.
absl::Status ValidateRequestId(absl::string_view request_id);
// At most 512 bytes of UTF-8; empty is allowed.
absl::Status ValidateReason(absl::string_view reason);
// The request id, reason and etag that every order carries.
absl::Status ValidateOrderContext(const OrderContext& context);

// At most `limit` bytes of UTF-8 without control characters; empty is allowed.
absl::Status ValidateText(absl::string_view field, absl::string_view text, size_t limit);

// Absolute, 2..4095 bytes of UTF-8, no NUL, no "//", "." or ".." components, no "/" at the end.
absl::Status ValidateBinaryPath(absl::string_view field, absl::string_view path);

// A cgroup: as ValidateBinaryPath. A unit: at most 255 bytes as systemd names services, scopes and slices. A
// container: 12..64 lower-case hexadecimal digits. `field` is the scope's; the field to blame is the one below it.
absl::Status ValidateScope(absl::string_view field, const Scope& scope);

// 32 bytes.
absl::Status ValidateSha256(absl::string_view field, absl::string_view digest);

// At most 4096 entries, each with a path (as ValidateBinaryPath), a SHA-256 or both; none with `learn`.
absl::Status ValidateAllowList(absl::string_view field, const AllowList& list);

// 2..4194304. Pid 1 gets an error of its own.
absl::Status ValidatePid(absl::string_view field, uint32_t pid);
// pid, boot_id (empty or a UUID) and executable (empty or an absolute path).
absl::Status ValidateProcess(absl::string_view field, const ProcessIdentity& process);

// A path, a SHA-256, or both.
absl::Status ValidateRunningFile(absl::string_view field, const RunningFile& file);

// 0 becomes the default; otherwise 1..1000.
absl::StatusOr<int> ValidatePageSize(int page_size);
// Zero becomes the default of 5 minutes; otherwise 1 second to 14 days.
absl::StatusOr<absl::Duration> ValidateCommandTtl(absl::Duration ttl);
// Zero becomes the default of 10 minutes; otherwise whole seconds, 1 second to 1 hour.
absl::StatusOr<absl::Duration> ValidateGuardDown(absl::Duration duration);
// The end of a lease: 1 second to 365 days after `now`.
absl::Status ValidateExpiry(absl::string_view field, absl::Time expires_at, absl::Time now);
// Zero becomes the default of 1 hour; otherwise 1 minute to 30 days.
absl::StatusOr<absl::Duration> ValidateTokenTtl(absl::Duration ttl);
// Zero becomes 1; otherwise 1 to 10000.
absl::StatusOr<uint32_t> ValidateTokenUses(uint32_t max_uses);
// Prefixes of a token, at most 64.
absl::StatusOr<std::vector<IpPrefix>> ParseNetworks(absl::string_view field, const std::vector<std::string>& texts);

}  // namespace bulkhead::controlplane
