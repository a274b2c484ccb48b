// Writes key and certificate into a fresh directory, then points the link there.
#include "controlplane/app/server_certificate.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kLife = absl::Hours(24 * 30);
constexpr char kLink[] = "current";
constexpr char kPairPrefix[] = "pair-";

// Pairs of earlier renewals and runs; a failure leaves a file too many and is no reason to stop.
void RemoveOldPairs(const std::string& directory, const std::string& newest, const std::string& before) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, kPairPrefix) && name != newest && name != before)
      std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

ServerCertificate::ServerCertificate(CertificateAuthority* authority, const Clock* clock, std::string directory,
                                     std::vector<std::string> names)
    : authority_(authority), clock_(clock), directory_(std::move(directory)), names_(std::move(names)) {}

absl::StatusOr<std::unique_ptr<ServerCertificate>> ServerCertificate::Create(CertificateAuthority* authority,
                                                                             const Clock* clock, std::string directory,
                                                                             std::vector<std::string> names) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  std::unique_ptr<ServerCertificate> made(
      new ServerCertificate(authority, clock, std::move(directory), std::move(names)));
  RETURN_IF_ERROR(made->Publish());
  return made;
}

std::string ServerCertificate::key_path() const {
  return absl::StrCat(directory_, "/", kLink, "/key.pem");
}

std::string ServerCertificate::certificate_path() const {
  return absl::StrCat(directory_, "/", kLink, "/cert.pem");
}

absl::StatusOr<bool> ServerCertificate::RenewIfDue() {
  if (clock_->Now() < renew_at_) return false;
  RETURN_IF_ERROR(Publish());
  return true;
}

absl::Status ServerCertificate::Publish() {
  const absl::Time now = clock_->Now();
  ASSIGN_OR_RETURN(const KeyAndCertificate pair, authority_->IssueServer(names_, now, kLife));
  const std::string name = absl::StrCat(kPairPrefix, pair.certificate.serial_hex);
  const std::string target = absl::StrCat(directory_, "/", name);
  RETURN_IF_ERROR(MakeDirectories(target, 0700));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(target, "/key.pem"), pair.key_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(target, "/cert.pem"), pair.certificate.chain_pem, 0644));
  // A link made aside and renamed: whoever opens the path sees the old pair or the new one.
  const std::string aside = absl::StrCat(directory_, "/", kLink, ".new");
  unlink(aside.c_str());
  if (symlink(name.c_str(), aside.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("symlink ", aside));
  const std::string link = absl::StrCat(directory_, "/", kLink);
  if (rename(aside.c_str(), link.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("rename ", aside));
  // The pair before may just be being read, so it stays until the next renewal.
  const std::string before = std::exchange(published_, name);
  RemoveOldPairs(directory_, name, before);
  not_after_ = pair.certificate.not_after;
  renew_at_ = now + (pair.certificate.not_after - now) / 2;
  LogInfo("server certificate issued",
          {{"serial", pair.certificate.serial_hex}, {"not_after", absl::FormatTime(pair.certificate.not_after)}});
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
