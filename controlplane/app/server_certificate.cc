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
  const absl::Status published = made->Publish();
  if (published.ok()) return made;
  // What an earlier run left may still be good: then the server starts with it, and tries again.
  if (!made->CheckPublished().ok()) return published;
  ASSIGN_OR_RETURN(const std::string chain, ReadFile(made->certificate_path()));
  ASSIGN_OR_RETURN(made->not_after_, FirstExpiry(chain));
  LogError("server certificate not issued; the one before is used", {{"error", published.ToString()}});
  return made;
}

std::string ServerCertificate::key_path() const {
  return absl::StrCat(directory_, "/", kLink, "/key.pem");
}

std::string ServerCertificate::certificate_path() const {
  return absl::StrCat(directory_, "/", kLink, "/cert.pem");
}

absl::StatusOr<bool> ServerCertificate::RenewIfDue() {
  const absl::Status good = CheckPublished();
  if (!good.ok()) LogError("server certificate is damaged; another is issued", {{"error", good.ToString()}});
  const bool same_root = authority_->standing()->server_issuer_hex == issuer_hex_;
  if (good.ok() && same_root && clock_->Now() < renew_at_) return false;
  RETURN_IF_ERROR(Publish());
  return true;
}

absl::Status ServerCertificate::CheckPublished() const {
  return CheckPair(absl::StrCat(directory_, "/", kLink));
}

absl::Status ServerCertificate::CheckPair(const std::string& pair) const {
  ASSIGN_OR_RETURN(const std::string key, ReadFile(absl::StrCat(pair, "/key.pem")));
  ASSIGN_OR_RETURN(const std::string chain, ReadFile(absl::StrCat(pair, "/cert.pem")));
  return Annotate(CheckKeyAndCertificate(key, chain, clock_->Now()), pair);
}

absl::Status ServerCertificate::Publish() {
  const absl::Time now = clock_->Now();
  ASSIGN_OR_RETURN(const KeyAndCertificate pair, authority_->IssueServer(names_, now, kLife));
  const std::string name = absl::StrCat(kPairPrefix, pair.certificate.serial_hex);
  if (const absl::Status written = WritePair(pair, name); !written.ok()) {
    std::error_code ignored;
    std::filesystem::remove_all(absl::StrCat(directory_, "/", name), ignored);
    return written;
  }
  // The pair before may just be being read, so it stays until the next renewal.
  const std::string before = std::exchange(published_, name);
  RemoveOldPairs(directory_, name, before);
  issuer_hex_ = pair.certificate.issuer_hex;
  not_after_ = pair.certificate.not_after;
  renew_at_ = now + (pair.certificate.not_after - now) / 2;
  LogInfo("server certificate issued",
          {{"serial", pair.certificate.serial_hex}, {"not_after", absl::FormatTime(pair.certificate.not_after)}});
  return absl::OkStatus();
}

absl::Status ServerCertificate::WritePair(const KeyAndCertificate& pair, const std::string& name) const {
  const std::string target = absl::StrCat(directory_, "/", name);
  RETURN_IF_ERROR(MakeDirectories(target, 0700));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(target, "/key.pem"), pair.key_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(target, "/cert.pem"), pair.certificate.chain_pem, 0644));
  // What was written is what will be served: nothing points to it before it was read and found good.
  RETURN_IF_ERROR(CheckPair(target));
  // A link made aside and renamed: whoever opens the path sees the old pair or the new one.
  const std::string aside = absl::StrCat(directory_, "/", kLink, ".new");
  unlink(aside.c_str());
  if (symlink(name.c_str(), aside.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("symlink ", aside));
  const std::string link = absl::StrCat(directory_, "/", kLink);
  if (rename(aside.c_str(), link.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("rename ", aside));
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
