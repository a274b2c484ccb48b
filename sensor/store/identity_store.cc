// The sensor's identity on disk: key, certificate chain and trust bundle, always a matching set.
#include "sensor/store/identity_store.h"

#include <fcntl.h>
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
#include "common/unique_fd.h"
#include "common/uuid.h"

namespace bulkhead::sensor {
namespace {

constexpr char kCurrent[] = "identity";
constexpr char kNext[] = "identity.next";
constexpr char kDirectoryPrefix[] = "identity-";
constexpr char kKeyFile[] = "key.pem";
constexpr char kChainFile[] = "chain.pem";
constexpr char kTrustFile[] = "ca.pem";

absl::Status SyncDirectory(const std::string& path) {
  UniqueFd dir(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() || fsync(dir.get()) != 0) return ErrnoToStatus(errno, absl::StrCat("fsync ", path));
  return absl::OkStatus();
}

}  // namespace

IdentityStore::IdentityStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}

absl::StatusOr<Identity> IdentityStore::LoadFrom(const std::string& link) const {
  const std::string directory = absl::StrCat(state_dir_, "/", link);
  Identity identity;
  ASSIGN_OR_RETURN(identity.credentials.key_pem, ReadFile(absl::StrCat(directory, "/", kKeyFile)));
  ASSIGN_OR_RETURN(identity.credentials.chain_pem, ReadFile(absl::StrCat(directory, "/", kChainFile)));
  ASSIGN_OR_RETURN(identity.credentials.trust_bundle_pem, ReadFile(absl::StrCat(directory, "/", kTrustFile)));
  absl::StatusOr<CertificateFacts> facts = CheckIdentity(identity.credentials.key_pem, identity.credentials.chain_pem,
                                                         identity.credentials.trust_bundle_pem);
  if (!facts.ok()) return Annotate(facts.status(), absl::StrCat("reading the identity in ", directory));
  identity.facts = *std::move(facts);
  return identity;
}

absl::StatusOr<Identity> IdentityStore::Load() const {
  return LoadFrom(kCurrent);
}

std::string IdentityStore::CurrentName() const {
  std::error_code none;
  return std::filesystem::read_symlink(absl::StrCat(state_dir_, "/", kCurrent), none).string();
}

std::optional<Identity> IdentityStore::LoadNext() const {
  std::error_code ignored;
  if (!std::filesystem::is_symlink(absl::StrCat(state_dir_, "/", kNext), ignored)) return std::nullopt;
  absl::StatusOr<Identity> next = LoadFrom(kNext);
  // Another sensor's: the host was enrolled anew, and the power failed before this one was dropped.
  const absl::StatusOr<Identity> current = Load();
  if (next.ok() && current.ok() && next->facts.sensor_id != current->facts.sensor_id) {
    next = absl::FailedPreconditionError(absl::StrCat("it is of sensor ", next->facts.sensor_id));
  }
  if (next.ok()) return *std::move(next);
  LogWarning("renewed identity is unusable; it is dropped and will be renewed again",
             {{"error", next.status().message()}});
  DropNext().IgnoreError();
  return std::nullopt;
}

absl::Status IdentityStore::Replace(const Credentials& credentials) const {
  RETURN_IF_ERROR(CheckIdentity(credentials.key_pem, credentials.chain_pem, credentials.trust_bundle_pem).status());
  RETURN_IF_ERROR(Publish(credentials, kCurrent));
  return DropNext();
}

absl::Status IdentityStore::StoreNext(const Credentials& credentials) const {
  ASSIGN_OR_RETURN(const CertificateFacts facts,
                   CheckIdentity(credentials.key_pem, credentials.chain_pem, credentials.trust_bundle_pem));
  ASSIGN_OR_RETURN(const Identity current, Load());
  if (facts.sensor_id != current.facts.sensor_id) {
    return absl::InvalidArgumentError(absl::StrCat("the renewed certificate is for sensor ", facts.sensor_id,
                                                   " and this is ", current.facts.sensor_id));
  }
  return Publish(credentials, kNext);
}

absl::Status IdentityStore::PromoteNext() const {
  const std::string next = absl::StrCat(state_dir_, "/", kNext);
  const std::string current = absl::StrCat(state_dir_, "/", kCurrent);
  if (rename(next.c_str(), current.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("rename ", next, " to ", current));
  }
  RETURN_IF_ERROR(SyncDirectory(state_dir_));
  RemoveUnused();
  return absl::OkStatus();
}

absl::Status IdentityStore::DropNext() const {
  const std::string next = absl::StrCat(state_dir_, "/", kNext);
  if (unlink(next.c_str()) != 0 && errno != ENOENT) return ErrnoToStatus(errno, absl::StrCat("remove ", next));
  RemoveUnused();
  return absl::OkStatus();
}

absl::Status IdentityStore::Publish(const Credentials& credentials, const std::string& link) const {
  const std::string name = absl::StrCat(kDirectoryPrefix, NewUuid());
  const std::string directory = absl::StrCat(state_dir_, "/", name);
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(directory, "/", kKeyFile), credentials.key_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(directory, "/", kChainFile), credentials.chain_pem, 0644));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(directory, "/", kTrustFile), credentials.trust_bundle_pem, 0644));
  // What was written is what will be read: check it there before anything points to it.
  RETURN_IF_ERROR(LoadFrom(name).status());
  RETURN_IF_ERROR(Point(link, name));
  RemoveUnused();
  return absl::OkStatus();
}

absl::Status IdentityStore::Point(const std::string& link, const std::string& directory) const {
  const std::string path = absl::StrCat(state_dir_, "/", link);
  const std::string temporary = absl::StrCat(path, ".tmp");
  if (unlink(temporary.c_str()) != 0 && errno != ENOENT)
    return ErrnoToStatus(errno, absl::StrCat("remove ", temporary));
  if (symlink(directory.c_str(), temporary.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("make the link ", temporary));
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("rename ", temporary, " to ", path));
  }
  return SyncDirectory(state_dir_);
}

void IdentityStore::RemoveUnused() const {
  std::error_code ignored;
  const auto current = std::filesystem::read_symlink(absl::StrCat(state_dir_, "/", kCurrent), ignored);
  const auto next = std::filesystem::read_symlink(absl::StrCat(state_dir_, "/", kNext), ignored);
  for (const auto& entry : std::filesystem::directory_iterator(state_dir_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!absl::StartsWith(name, kDirectoryPrefix) || name == current || name == next) continue;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace bulkhead::sensor
