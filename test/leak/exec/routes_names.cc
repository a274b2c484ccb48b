// Other names of the same file, and other views of the file system.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

std::string Base(const Place& place) {
  return place.victim.substr(place.victim.rfind('/') + 1);
}

int Make(const std::string& directory) {
  return mkdir(directory.c_str(), 0755) == 0 ? 0 : errno;
}

int BindOver(const Place& place, const std::string& to) {
  const int made = creat(to.c_str(), 0755);
  if (made < 0) return errno;
  close(made);
  return mount(place.victim.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0 ? 0 : errno;
}

// `more`: options, with a comma before them.
int MountOverlay(const Place& place, const std::string& lower, const std::string& name = "ovl",
                 const std::string& more = "") {
  const std::string base = place.directory + "/" + name;
  for (const char* const part : {"", "/rw", "/rw/upper", "/rw/work", "/merged"}) {
    if (const int error = Make(base + part); error != 0) return error;
  }
  // An overlay cannot have its upper layer on every file system.
  if (mount("tmpfs", (base + "/rw").c_str(), "tmpfs", 0, nullptr) != 0) return errno;
  if (Make(base + "/rw/upper") != 0 || Make(base + "/rw/work") != 0) return errno;
  const std::string options =
      "lowerdir=" + lower + ",upperdir=" + base + "/rw/upper,workdir=" + base + "/rw/work" + more;
  return mount("overlay", (base + "/merged").c_str(), "overlay", 0, options.c_str()) == 0 ? 0 : errno;
}

std::string Merged(const Place& place, const std::string& name) {
  return place.directory + "/ovl/merged/" + name;
}

// Only the file's metadata is copied up; its content stays in the layer below.
int RunMetacopy(Place& place) {
  if (const int error = MountOverlay(place, place.directory, "ovl", ",metacopy=on"); error != 0) return error;
  const std::string merged = Merged(place, Base(place));
  return chmod(merged.c_str(), 0700) != 0 ? errno : Run(merged);
}

// The overlay's inode knows a size that is not the content's any more.
int MakeStaleLower(Place& place) {
  const std::string lower = place.directory + "/lower";
  if (Make(lower) != 0) return errno;
  FILE* const file = fopen((lower + "/file").c_str(), "w");
  if (file == nullptr || fputs("#!/bin/true\n", file) < 0 || fclose(file) != 0 ||
      chmod((lower + "/file").c_str(), 0755) != 0)
    return errno;
  if (const int error = MountOverlay(place, lower); error != 0) return error;
  struct stat known {};
  return stat(Merged(place, "file").c_str(), &known) == 0 ? 0 : errno;
}

}  // namespace

void AddNameRoutes(Routes& routes) {
  routes.push_back({"absolute", "its path", Victim::kStatic, {}, [](Place& p) { return Run(p.victim); }});
  routes.push_back(
      {"dynamic", "its path, dynamically linked", Victim::kDynamic, {}, [](Place& p) { return Run(p.victim); }});
  routes.push_back({"relative", "a relative path", Victim::kStatic, {}, [](Place& p) {
                      return chdir(p.directory.c_str()) != 0 ? errno : Run("./" + Base(p));
                    }});
  routes.push_back({"slashes", "double slashes", Victim::kStatic, {}, [](Place& p) {
                      return Run("/" + p.directory + "//" + Base(p));
                    }});
  routes.push_back({"dot_dot", "`..` and `.`", Victim::kStatic, {}, [](Place& p) {
                      return Run(p.directory + "/./../" + p.directory.substr(p.directory.rfind('/') + 1) + "/" +
                                 Base(p));
                    }});
  routes.push_back({"proc_root", "/proc/self/root", Victim::kStatic, {}, [](Place& p) {
                      return Run("/proc/self/root" + p.victim);
                    }});
  routes.push_back({"proc_cwd", "/proc/self/cwd", Victim::kStatic, {}, [](Place& p) {
                      return chdir(p.directory.c_str()) != 0 ? errno : Run("/proc/self/cwd/" + Base(p));
                    }});
  routes.push_back({"symlink", "a symbolic link", Victim::kStatic, {}, [](Place& p) {
                      return symlink(p.victim.c_str(), (p.directory + "/s").c_str()) != 0 ? errno
                                                                                          : Run(p.directory + "/s");
                    }});
  routes.push_back({"hard_link", "a hard link", Victim::kStatic, {}, [](Place& p) {
                      return link(p.victim.c_str(), (p.directory + "/h").c_str()) != 0 ? errno
                                                                                       : Run(p.directory + "/h");
                    }});
  routes.push_back({"rename", "renamed", Victim::kStatic, {}, [](Place& p) {
                      return rename(p.victim.c_str(), (p.directory + "/r").c_str()) != 0 ? errno
                                                                                         : Run(p.directory + "/r");
                    }});
  routes.push_back({"rename_over", "another copy renamed over it", Victim::kStatic, {}, [](Place& p) {
                      if (const int error = Copy(p.victim, p.directory + "/c"); error != 0) return error;
                      return rename((p.directory + "/c").c_str(), p.victim.c_str()) != 0 ? errno : Run(p.victim);
                    }});
  routes.push_back({"bind", "a bind mount", Victim::kStatic, {}, [](Place& p) {
                      const int error = BindOver(p, p.directory + "/b");
                      return error != 0 ? error : Run(p.directory + "/b");
                    }});
  routes.push_back({"bind_before", "a bind mount from before the order", Victim::kStatic,
                    [](Place& p) { return BindOver(p, p.directory + "/b"); },
                    [](Place& p) { return Run(p.directory + "/b"); }});
  routes.push_back({"chroot", "chroot", Victim::kStatic, {}, [](Place& p) {
                      return chroot(p.directory.c_str()) != 0 ? errno : Run("/" + Base(p));
                    }});
  routes.push_back({"user_namespace", "new user and mount namespaces", Victim::kStatic, {}, [](Place& p) {
                      return unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ? errno : Run(p.victim);
                    }});
  routes.push_back({"overlay", "through an overlay mount", Victim::kStatic,
                    [](Place& p) { return MountOverlay(p, p.directory); },
                    [](Place& p) { return Run(Merged(p, Base(p))); }});
  routes.push_back({"overlay_late", "through an overlay mounted after the order", Victim::kStatic, {}, [](Place& p) {
                      const int error = MountOverlay(p, p.directory);
                      return error != 0 ? error : Run(Merged(p, Base(p)));
                    }});
  routes.push_back({"overlay_copied_up", "copied up inside an overlay", Victim::kStatic,
                    [](Place& p) { return MountOverlay(p, p.directory); },
                    [](Place& p) {
                      const int fd = open(Merged(p, Base(p)).c_str(), O_RDWR | O_CLOEXEC);
                      if (fd < 0) return errno;
                      close(fd);
                      return Run(Merged(p, Base(p)));
                    }});
  routes.push_back(
      {"overlay_metacopy", "its metadata alone copied up inside an overlay", Victim::kStatic, {}, RunMetacopy});
  routes.push_back({"overlay_twice", "through an overlay on an overlay", Victim::kStatic, {}, [](Place& p) {
                      int error = MountOverlay(p, p.directory);
                      if (error == 0) error = MountOverlay(p, p.directory + "/ovl/merged", "second");
                      return error != 0 ? error : Run(p.directory + "/second/merged/" + Base(p));
                    }});
  routes.push_back({"overlay_stale", "an overlay whose lower file was rewritten underneath", Victim::kStatic,
                    MakeStaleLower, [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/lower/file");
                      return error != 0 ? error : Run(Merged(p, "file"));
                    }});
  routes.push_back({"other_cgroup", "the process moves itself to another cgroup", Victim::kStatic, {}, [](Place& p) {
                      const int fd = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);
                      const int unified =
                          fd >= 0 ? fd : open("/sys/fs/cgroup/unified/cgroup.procs", O_WRONLY | O_CLOEXEC);
                      if (unified < 0 || write(unified, "0", 1) != 1) return errno;
                      return Run(p.victim);
                    }});
}

}  // namespace bulkhead::leak
