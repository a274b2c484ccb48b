// What a sensor may say of itself, and what it is told apart by.
#include "controlplane/link/sensor_words.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

// What a host says of itself is kept for as long as its stream, and stored with each report that says everything. Ours
// says less than 2 KiB.
constexpr size_t kMaxHostBytes = 16 << 10;
constexpr size_t kMaxCapabilitiesBytes = 64 << 10;
constexpr size_t kMaxTextBytes = 64 << 10;
// Of what runs are told apart by; eight are kept for each sensor.
constexpr size_t kMaxIdBytes = 64;

absl::Status CheckSize(const google::protobuf::Message& message, const char* field, size_t most) {
  if (message.ByteSizeLong() <= most) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must take at most ", most, " bytes, not ", message.ByteSizeLong()));
}

absl::Status CheckId(const std::string& id, const char* field) {
  if (id.size() <= kMaxIdBytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must have at most ", kMaxIdBytes, " bytes, not ", id.size()));
}

absl::Status CheckTexts(const google::protobuf::RepeatedPtrField<std::string>& texts, const char* field) {
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  if (bytes <= kMaxTextBytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must hold at most ", kMaxTextBytes, " bytes, not ", bytes));
}

}  // namespace

absl::Status CheckHello(const v1::Hello& hello) {
  if (hello.host().boot_id().empty()) return InvalidField("hello.host.boot_id", "must not be empty");
  RETURN_IF_ERROR(CheckId(hello.host().boot_id(), "hello.host.boot_id"));
  RETURN_IF_ERROR(CheckId(hello.host().instance_id(), "hello.host.instance_id"));
  if (!hello.run_id().empty()) RETURN_IF_ERROR(ValidateUuid("hello.run_id", hello.run_id()));
  RETURN_IF_ERROR(CheckSize(hello.host(), "hello.host", kMaxHostBytes));
  RETURN_IF_ERROR(CheckSize(hello.capabilities(), "hello.capabilities", kMaxCapabilitiesBytes));
  return CheckObserved(hello.observed());
}

absl::Status CheckObserved(const v1::ObservedState& observed) {
  RETURN_IF_ERROR(CheckTexts(observed.degraded(), "observed.degraded"));
  RETURN_IF_ERROR(CheckTexts(observed.critical(), "observed.critical"));
  const std::string& digest = observed.receipt().digest();
  if (digest.empty() || digest.size() == 32) return absl::OkStatus();
  return InvalidField("observed.receipt.digest", "must be empty or 32 bytes");
}

std::string InstanceOf(const v1::HostInfo& host) {
  return host.instance_id().empty() ? host.boot_id() : host.instance_id();
}

}  // namespace bulkhead::controlplane
