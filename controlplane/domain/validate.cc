// Checks of every field of every order, before anything is done.
#include "controlplane/domain/validate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/plain_name.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxOperatorBytes = 64;
constexpr size_t kMaxRequestIdBytes = 64;
constexpr size_t kMaxEtagBytes = 64;
constexpr size_t kSha256Bytes = 32;
constexpr size_t kLongestUnit = 255;
constexpr size_t kShortestContainerId = 12;
constexpr size_t kLongestContainerId = 64;

// Length of the well-formed sequence at the start of `text`, 0 when there is none (Unicode 15, table 3-7).
size_t Utf8SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                        : (lead & 0xf0) == 0xe0        ? 3
                        : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead == 0xe0) low = 0xa0;   // overlong
  if (lead == 0xed) high = 0x9f;  // surrogates
  if (lead == 0xf0) low = 0x90;   // overlong
  if (lead == 0xf4) high = 0x8f;  // above U+10FFFF
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

bool IsNameCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-';
}

absl::StatusOr<absl::Duration> DurationWithin(absl::Duration given, absl::Duration fallback, absl::Duration least,
                                              absl::Duration most) {
  if (given == absl::ZeroDuration()) return fallback;
  if (given < least || given > most) {
    return InvalidField("ttl", absl::StrCat("must be ", absl::FormatDuration(least), " to ", absl::FormatDuration(most),
                                            ", or unset for ", absl::FormatDuration(fallback)));
  }
  return given;
}

absl::Status ValidateUnit(absl::string_view field, absl::string_view unit) {
  const auto allowed = [](unsigned char c) { return absl::ascii_isalnum(c) || absl::StrContains(":-_.\\@", c); };
  const bool has_cgroup =
      absl::EndsWith(unit, ".service") || absl::EndsWith(unit, ".scope") || absl::EndsWith(unit, ".slice");
  if (!has_cgroup || unit[0] == '.' || unit.size() > kLongestUnit || !std::all_of(unit.begin(), unit.end(), allowed)) {
    return InvalidField(field, "must be the full name of a service, scope or slice, such as \"nginx.service\"");
  }
  if (unit == "-.slice") return InvalidField(field, "is the whole host; leave scope unset");
  return absl::OkStatus();
}

}  // namespace

bool IsCleanUtf8(absl::string_view text) {
  while (!text.empty()) {
    if (text[0] == '\0') return false;
    const size_t length = Utf8SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

absl::Status ValidateSensorName(absl::string_view field, absl::string_view name) {
  const bool shaped = !name.empty() && name.size() <= kMaxNameBytes &&
                      std::all_of(name.begin(), name.end(), IsNameCharacter) && absl::ascii_isalnum(name.front()) &&
                      absl::ascii_isalnum(name.back());
  if (!shaped) {
    return InvalidField(
        field, "a sensor's name is 1..63 of a-z, 0-9, \".\" and \"-\", starting and ending with a letter or digit");
  }
  if (IsUuid(name)) return InvalidField(field, "a sensor's name must not look like a UUID, because ids do");
  return absl::OkStatus();
}

absl::Status ValidateSensorReference(absl::string_view field, absl::string_view reference) {
  if (IsUuid(reference) || ValidateSensorName(field, reference).ok()) return absl::OkStatus();
  return InvalidField(field, "must be a sensor's id (a lower-case UUID) or its name");
}

absl::Status ValidateOperatorName(absl::string_view field, absl::string_view name) {
  const auto allowed = [](char c) { return IsPlainNameCharacter(c) || c == '@'; };
  if (name.empty() || name.size() > kMaxOperatorBytes || !std::all_of(name.begin(), name.end(), allowed) ||
      !absl::ascii_isalnum(name.front())) {
    return InvalidField(field,
                        "an operator's name is 1..64 of letters, digits, \".\", \"_\", \"@\" and \"-\", starting with "
                        "a letter or digit");
  }
  return absl::OkStatus();
}

absl::Status ValidateUuid(absl::string_view field, absl::string_view id) {
  if (IsUuid(id)) return absl::OkStatus();
  return InvalidField(field, "must be a UUID in lower case, such as 123e4567-e89b-42d3-a456-426614174000");
}

absl::Status ValidateRequestId(absl::string_view request_id) {
  if (request_id.size() <= kMaxRequestIdBytes &&
      std::all_of(request_id.begin(), request_id.end(), IsPlainNameCharacter)) {
    return absl::OkStatus();
  }
  return InvalidField("request_id",
                      "must be at most 64 of letters, digits, \".\", \"_\" and \"-\"; a UUID is a good choice");
}

absl::Status ValidateReason(absl::string_view reason) {
  return ValidateText("reason", reason, kMaxReasonBytes);
}

absl::Status ValidateOrderContext(const OrderContext& context) {
  RETURN_IF_ERROR(ValidateRequestId(context.request_id));
  RETURN_IF_ERROR(ValidateReason(context.reason));
  return ValidateText("etag", context.etag, kMaxEtagBytes);
}

absl::Status ValidateText(absl::string_view field, absl::string_view text, size_t limit) {
  if (text.size() > limit) {
    return InvalidField(field, absl::StrCat("is ", text.size(), " bytes long; at most ", limit, " are allowed"));
  }
  if (!IsCleanUtf8(text)) return InvalidField(field, "must be UTF-8 text without NUL");
  const auto control = [](char c) { return absl::ascii_iscntrl(c); };
  if (std::any_of(text.begin(), text.end(), control))
    return InvalidField(field, "must be one line without control characters");
  return absl::OkStatus();
}

absl::Status ValidateSha256(absl::string_view field, absl::string_view digest) {
  if (digest.size() == kSha256Bytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("is ", digest.size(), " bytes long; a SHA-256 has ", kSha256Bytes,
                                          " (64 hexadecimal digits), as sha256sum prints it"));
}

absl::Status ValidateBinaryPath(absl::string_view field, absl::string_view path) {
  if (path.find('\0') != absl::string_view::npos) return InvalidField(field, "contains a NUL byte, which no path can");
  if (path.empty() || path[0] != '/') return InvalidField(field, "must be an absolute path, starting with \"/\"");
  if (path.size() < 2) return InvalidField(field, "must name a file; \"/\" is a directory");
  if (path.size() > kMaxPathBytes) {
    return InvalidField(field,
                        absl::StrCat("is ", path.size(), " bytes long; the kernel takes at most ", kMaxPathBytes));
  }
  if (!IsCleanUtf8(path)) return InvalidField(field, "must be UTF-8");
  for (const absl::string_view component : absl::StrSplit(path.substr(1), '/')) {
    if (component.empty()) return InvalidField(field, "must not contain \"//\" or end with \"/\"");
    if (component == "." || component == "..") {
      return InvalidField(field, "must not contain \".\" or \"..\" components; give the resolved path");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateScope(absl::string_view field, const Scope& scope) {
  switch (scope.kind) {
    case ScopeKind::kCgroup:
      if (scope.name == "/")
        return InvalidField(absl::StrCat(field, ".cgroup"), "is the whole host; leave scope unset");
      return ValidateBinaryPath(absl::StrCat(field, ".cgroup"), scope.name);
    case ScopeKind::kSystemdUnit:
      return ValidateUnit(absl::StrCat(field, ".systemd_unit"), scope.name);
    case ScopeKind::kContainer:
      break;
  }
  const auto is_hex = [](unsigned char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
  if (scope.name.size() >= kShortestContainerId && scope.name.size() <= kLongestContainerId &&
      std::all_of(scope.name.begin(), scope.name.end(), is_hex)) {
    return absl::OkStatus();
  }
  return InvalidField(absl::StrCat(field, ".container"),
                      "must be a container's id: 12 to 64 lower-case hexadecimal digits; names are not known to hosts' "
                      "kernels");
}

absl::Status ValidateAllowList(absl::string_view field, const AllowList& list) {
  const std::string binaries = absl::StrCat(field, ".binaries");
  if (list.learn && !list.binaries.empty()) {
    return InvalidField(binaries, "must be empty while the list learns; order the list once it has learned");
  }
  if (list.binaries.size() > kMaxAllowedBinaries) {
    return InvalidField(binaries,
                        absl::StrCat("has ", list.binaries.size(), " entries; at most ", kMaxAllowedBinaries));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < list.binaries.size(); ++i) {
    const AllowedBinary& binary = list.binaries[i];
    const std::string entry = absl::StrCat(binaries, "[", i, "]");
    if (binary.path.empty() && binary.sha256.empty()) {
      return InvalidField(entry, "has neither a path nor a sha256; one of them must name the file");
    }
    if (!binary.path.empty()) RETURN_IF_ERROR(ValidateBinaryPath(absl::StrCat(entry, ".path"), binary.path));
    if (!binary.sha256.empty()) RETURN_IF_ERROR(ValidateSha256(absl::StrCat(entry, ".sha256"), binary.sha256));
    bytes += binary.path.size();
  }
  if (bytes <= kMaxAllowedPathBytes) return absl::OkStatus();
  return InvalidField(binaries,
                      absl::StrCat("has paths of ", bytes, " bytes together; at most ", kMaxAllowedPathBytes));
}

absl::Status ValidatePid(absl::string_view field, uint32_t pid) {
  if (pid == 1) return PidOne(field);
  if (pid >= 2 && pid <= kMaxPid) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(pid, " is not a process id; must be 2..", kMaxPid));
}

absl::Status ValidateProcess(absl::string_view field, const ProcessIdentity& process) {
  RETURN_IF_ERROR(ValidatePid(absl::StrCat(field, ".pid"), process.pid));
  if (!process.boot_id.empty()) RETURN_IF_ERROR(ValidateUuid(absl::StrCat(field, ".boot_id"), process.boot_id));
  if (!process.executable.empty()) return ValidateBinaryPath(absl::StrCat(field, ".executable"), process.executable);
  return absl::OkStatus();
}

absl::Status ValidateRunningFile(absl::string_view field, const RunningFile& file) {
  if (file.path.empty() && file.sha256.empty()) return InvalidField(field, "must have a path, a sha256, or both");
  if (!file.path.empty()) RETURN_IF_ERROR(ValidateBinaryPath(absl::StrCat(field, ".path"), file.path));
  if (!file.sha256.empty()) return ValidateSha256(absl::StrCat(field, ".sha256"), file.sha256);
  return absl::OkStatus();
}

absl::StatusOr<int> ValidatePageSize(int page_size) {
  if (page_size == 0) return kDefaultPageSize;
  if (page_size >= 1 && page_size <= kMaxPageSize) return page_size;
  return InvalidField("page_size", absl::StrCat("must be 1..", kMaxPageSize, ", or 0 for ", kDefaultPageSize));
}

absl::StatusOr<absl::Duration> ValidateCommandTtl(absl::Duration ttl) {
  return DurationWithin(ttl, kDefaultCommandTtl, absl::Seconds(1), absl::Hours(14 * 24));
}

absl::StatusOr<absl::Duration> ValidateGuardDown(absl::Duration duration) {
  if (duration == absl::ZeroDuration()) return kDefaultGuardDown;
  if (duration >= absl::Seconds(1) && duration <= kLongestGuardDown &&
      absl::Trunc(duration, absl::Seconds(1)) == duration) {
    return duration;
  }
  return InvalidField("duration", absl::StrCat(absl::FormatDuration(duration), " is not whole seconds within 1s..1h"));
}

absl::Status ValidateExpiry(absl::string_view field, absl::Time expires_at, absl::Time now) {
  if (expires_at - now >= absl::Seconds(1) && expires_at - now <= absl::Hours(365 * 24)) return absl::OkStatus();
  return InvalidField(field, "must end between 1 second and 365 days from now");
}

absl::StatusOr<absl::Duration> ValidateTokenTtl(absl::Duration ttl) {
  return DurationWithin(ttl, kDefaultTokenTtl, absl::Minutes(1), absl::Hours(30 * 24));
}

absl::StatusOr<uint32_t> ValidateTokenUses(uint32_t max_uses) {
  if (max_uses > kMaxTokenUses) return InvalidField("max_uses", absl::StrCat("must be 1 to ", kMaxTokenUses));
  return std::max(max_uses, 1u);
}

absl::StatusOr<std::vector<IpPrefix>> ParseNetworks(absl::string_view field, const std::vector<std::string>& texts) {
  if (texts.size() > kMaxTokenNetworks) {
    return InvalidField(field, absl::StrCat("has ", texts.size(), " prefixes; at most ", kMaxTokenNetworks));
  }
  std::vector<IpPrefix> networks;
  for (const std::string& text : texts) {
    absl::StatusOr<IpPrefix> network = IpPrefix::Parse(text);
    if (!network.ok()) return InvalidField(field, network.status().message());
    networks.push_back(*network);
  }
  return networks;
}

}  // namespace bulkhead::controlplane
