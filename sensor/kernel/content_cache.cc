// Contents of files, read once.
#include "sensor/kernel/content_cache.h"

#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMaxFiles = 4096;

}  // namespace

absl::StatusOr<FileContent> ContentCache::Read(const FoundFile& file) {
  const std::pair<uint64_t, uint64_t> key(file.witness().device, file.witness().inode);
  const auto known = read_.find(key);
  if (known != read_.end() && known->second.first == file.witness()) return known->second.second;
  ASSIGN_OR_RETURN(const FileContent content, file.Read());
  if (read_.size() >= kMaxFiles) read_.clear();
  read_[key] = {file.witness(), content};
  return content;
}

}  // namespace bulkhead::sensor
