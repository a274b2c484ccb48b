// Who runs, inside the scope of an allow-list, what the list does not name.
#include "sensor/kernel/unlisted_files.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"

namespace bulkhead::sensor {

std::vector<std::string> UnlistedFiles::CodeOf(pid_t pid) const {
  const std::string directory = absl::StrCat("/proc/", pid);
  std::vector<std::string> links = {absl::StrCat(directory, "/exe")};
  const absl::StatusOr<std::string> maps = mappings_ ? ReadFile(absl::StrCat(directory, "/maps")) : std::string();
  if (!maps.ok()) return links;
  for (const absl::string_view line : absl::StrSplit(*maps, '\n')) {
    // range, protection, offset, device, inode, path; without a file the inode is 0
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 5 || !absl::StrContains(words[1], 'x') || words[4] == "0") continue;
    links.push_back(absl::StrCat(directory, "/map_files/", words[0]));
  }
  return links;
}

std::optional<CodeFile> UnlistedFiles::Look(const std::string& link, bool contents) {
  const absl::StatusOr<FoundFile> file = FoundFile::Open(link);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  if (!file.ok()) return CodeFile();
  auto [known, added] = seen_.try_emplace({file->witness().device, file->witness().inode});
  CodeFile& code = known->second;
  if (added) code.key = identifier_.Identify(*file).value_or(bh_file_key{});
  if (contents && !code.sha256.has_value()) {
    const absl::StatusOr<FileContent> content = contents_->Read(*file);
    if (content.ok()) code.sha256 = content->sha256;
  }
  return code;
}

std::set<uint32_t> UnlistedFiles::Find(const Scope& scope, bool contents,
                                       const std::function<bool(const CodeFile&)>& allows) {
  std::set<uint32_t> found;
  for (const pid_t pid : ProcessesIn(scope)) {
    if (pid <= 1 || pid == getpid()) continue;
    for (const std::string& link : CodeOf(pid)) {
      const std::optional<CodeFile> code = Look(link, contents);
      if (!code.has_value() || allows(*code)) continue;
      found.insert(static_cast<uint32_t>(pid));
      break;
    }
  }
  return found;
}

}  // namespace bulkhead::sensor
