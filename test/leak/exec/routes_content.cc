// Other files with the same content.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

int Fill(int fd, const std::string& content) {
  if (fd < 0) return errno;
  return pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()) ? 0 : errno;
}

std::string OfDescriptor(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

int RunMemfd(const Place& place, unsigned flags) {
  const int fd = static_cast<int>(syscall(SYS_memfd_create, "x", flags));
  if (const int error = Fill(fd, ReadAll(place.victim)); error != 0) return error;
  return Run(OfDescriptor(fd));
}

// Made known as harmless first, then rewritten in place: what fooled a verdict that was kept by inode.
int RunRewritten(const Place& place, const std::string& how) {
  const std::string path = place.directory + "/rewritten";
  if (const int error = Copy(place.harmless, path); error != 0) return error;
  for (int i = 0; i < 2; ++i) {
    if (const int error = InChild([&path] { return Run(path); }); error != 0) return error;
  }
  if (how == "write") {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (const int error = Fill(fd, ReadAll(place.victim)); error != 0) return error;
    close(fd);
  } else if (how == "link") {
    const std::string other = place.directory + "/linked";
    if (link(path.c_str(), other.c_str()) != 0) return errno;
    if (const int error = Copy(place.victim, other); error != 0) return error;
    return Run(other);
  } else {
    const std::string content = ReadAll(place.victim);
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* const at = mmap(nullptr, content.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return errno;
    content.copy(static_cast<char*>(at), content.size());
    munmap(at, content.size());
  }
  return Run(path);
}

int RunRewrittenMemfd(const Place& place) {
  const int fd = static_cast<int>(syscall(SYS_memfd_create, "x", 0));
  if (const int error = Fill(fd, ReadAll(place.harmless)); error != 0) return error;
  if (const int error = InChild([fd] { return Run(OfDescriptor(fd)); }); error != 0) return error;
  if (const int error = Fill(fd, ReadAll(place.victim)); error != 0) return error;
  return Run(OfDescriptor(fd));
}

int RunTmpfile(const Place& place) {
  const int fd = open(place.directory.c_str(), O_TMPFILE | O_RDWR, 0755);
  if (const int error = Fill(fd, ReadAll(place.victim)); error != 0) return error;
  const std::string name = place.directory + "/linked";
  if (linkat(AT_FDCWD, OfDescriptor(fd).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return errno;
  close(fd);
  return Run(name);
}

int RunOnTmpfs(const Place& place) {
  const std::string at = place.directory + "/tmpfs";
  if (mkdir(at.c_str(), 0755) != 0 || mount("tmpfs", at.c_str(), "tmpfs", 0, nullptr) != 0) return errno;
  if (const int error = Copy(place.victim, at + "/x"); error != 0) return error;
  return Run(at + "/x");
}

int RunOverwriting(const Place& place) {
  const std::string content = ReadAll(place.victim);
  if (unlink(place.victim.c_str()) != 0) return errno;
  const int fd = open((place.directory + "/late").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
  if (const int error = Fill(fd, content); error != 0) return error;
  close(fd);
  return Run(place.directory + "/late");
}

int RunChanged(const Place& place) {
  const std::string path = place.directory + "/changed";
  if (const int error = Copy(place.victim, path); error != 0) return error;
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0 || write(fd, "x", 1) != 1) return errno;
  close(fd);
  return Run(path);
}

}  // namespace

void AddContentRoutes(Routes& routes) {
  routes.push_back({"copy", "a copy", Victim::kStatic, {}, [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/copy");
                      return error != 0 ? error : Run(p.directory + "/copy");
                    }});
  routes.push_back({"copy_before", "a copy from before the order", Victim::kStatic,
                    [](Place& p) { return Copy(p.victim, p.directory + "/copy"); },
                    [](Place& p) { return Run(p.directory + "/copy"); }});
  routes.push_back({"copy_of_deleted", "a copy made after the file was deleted", Victim::kStatic, {}, RunOverwriting});
  routes.push_back({"memfd", "a copy in a memfd", Victim::kStatic, {}, [](Place& p) { return RunMemfd(p, 0); }});
  routes.push_back({"tmpfs", "a copy on a tmpfs of its own", Victim::kStatic, {}, RunOnTmpfs});
  routes.push_back({"tmpfile", "a copy by O_TMPFILE and linkat", Victim::kStatic, {}, RunTmpfile});
  routes.push_back({"rewritten", "a file that ran harmlessly, rewritten in place", Victim::kStatic, {}, [](Place& p) {
                      return RunRewritten(p, "write");
                    }});
  routes.push_back({"rewritten_link", "the same, rewritten and run by a hard link", Victim::kStatic, {}, [](Place& p) {
                      return RunRewritten(p, "link");
                    }});
  routes.push_back({"rewritten_map", "the same, rewritten through a mapping", Victim::kStatic, {}, [](Place& p) {
                      return RunRewritten(p, "map");
                    }});
  routes.push_back(
      {"rewritten_memfd", "a memfd that ran harmlessly, rewritten", Victim::kStatic, {}, RunRewrittenMemfd});
  routes.push_back({"changed", "a copy with one byte more", Victim::kStatic, {}, RunChanged});
}

}  // namespace bulkhead::leak
