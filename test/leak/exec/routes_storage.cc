// Copies on other file systems, files whose content changes below the file system, and code on no file system at all.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
constexpr off_t kImageBytes = 64 << 20;

int Make(const std::string& directory) {
  return mkdir(directory.c_str(), 0755) == 0 ? 0 : errno;
}

// A loop device over `file` that goes away with its last user. Sets its path and an open descriptor.
int AttachLoop(const std::string& file, std::string* device, int* held) {
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  const int backing = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (control < 0 || backing < 0) return errno;
  for (int i = 0; i < 16; ++i) {
    const int number = ioctl(control, LOOP_CTL_GET_FREE);
    *device = "/dev/loop" + std::to_string(number);
    *held = open(device->c_str(), O_RDWR | O_CLOEXEC);
    loop_config config{};
    config.fd = static_cast<__u32>(backing);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (*held >= 0 && ioctl(*held, LOOP_CONFIGURE, &config) == 0) {
      close(control);
      close(backing);
      return 0;
    }
    close(*held);
  }
  return errno;
}

int MountImage(const Place& place, const std::string& image, const char* type, const std::string& at) {
  std::string device;
  int held = -1;
  (void)place;
  if (const int error = Make(at); error != 0) return error;
  if (const int error = AttachLoop(image, &device, &held); error != 0) return error;
  const unsigned long flags = std::string(type) == "squashfs" ? MS_RDONLY : 0;
  const int error = mount(device.c_str(), at.c_str(), type, flags, nullptr) == 0 ? 0 : errno;
  close(held);
  return error;
}

// An empty file system in an image, mounted at DIRECTORY/mounted.
int MountEmpty(const Place& place, const char* type) {
  const std::string image = place.directory + "/image";
  if (const int error = MakeFile(image, ""); error != 0) return error;
  if (truncate(image.c_str(), kImageBytes) != 0) return errno;
  const bool btrfs = std::string(type) == "btrfs";
  const int made = btrfs ? Command({"mkfs.btrfs", "-q", "--mixed", image}) : Command({"mkfs.ext4", "-q", "-F", image});
  return made != 0 ? made : MountImage(place, image, type, place.directory + "/mounted");
}

std::string OnMounted(const Place& place, const std::string& name) {
  return place.directory + "/mounted/" + name;
}

int RunCopyOnMounted(const Place& place) {
  const int error = Copy(place.victim, OnMounted(place, "x"));
  return error != 0 ? error : Run(OnMounted(place, "x"));
}

int RunReflink(const Place& place) {
  if (const int error = Copy(place.victim, OnMounted(place, "x")); error != 0) return error;
  const int from = open(OnMounted(place, "x").c_str(), O_RDONLY | O_CLOEXEC);
  const int to = open(OnMounted(place, "reflink").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
  if (from < 0 || to < 0 || fsync(from) != 0 || ioctl(to, FICLONE, from) != 0) return errno;
  close(to);
  return Run(OnMounted(place, "reflink"));
}

// Compressed, so that the content is in no block of the image.
int MountSquashed(const Place& place) {
  const std::string image = place.directory + "/image", from = place.directory + "/from";
  if (const int error = Make(from); error != 0) return error;
  if (const int error = Copy(place.victim, from + "/x"); error != 0) return error;
  const int made = Command({"mksquashfs", from, image, "-noappend", "-quiet", "-no-progress"});
  return made != 0 ? made : MountImage(place, image, "squashfs", place.directory + "/mounted");
}

// Made known as harmless first; then the image below is rewritten, with the file held, so that the kernel keeps what it
// knows of it, and its pages dropped.
int RunRewrittenBelow(const Place& place) {
  const std::string path = OnMounted(place, "x"), image = place.directory + "/image";
  const std::string content = ReadAll(place.victim);
  if (const int error = Copy(place.harmless, path); error != 0) return error;
  const int held = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (held < 0 || syncfs(held) != 0) return errno;
  for (int i = 0; i < 2; ++i) {
    if (const int error = InChild([&path] { return Run(path); }); error != 0) return error;
  }
  int block = 0, block_size = 0;
  if (ioctl(held, FIBMAP, &block) != 0 || ioctl(held, FIGETBSZ, &block_size) != 0) return errno;
  const off_t at = static_cast<off_t>(block) * block_size;
  const int below = open(image.c_str(), O_WRONLY | O_CLOEXEC);
  if (below < 0 || pwrite(below, content.data(), content.size(), at) < 0 || fsync(below) != 0) return errno;
  close(below);
  posix_fadvise(held, 0, 0, POSIX_FADV_DONTNEED);
  return Run(path);
}

// Other file systems in memory.
int RunOn(const Place& place, const char* type) {
  const std::string at = place.directory + "/memory";
  if (const int error = Make(at); error != 0) return error;
  if (mount(type, at.c_str(), type, 0, nullptr) != 0) return errno;
  const int error = Copy(place.victim, at + "/x");
  return error != 0 ? error : Run(at + "/x");
}

// The loader reads the device itself.
int RunDevice(const Place& place) {
  std::string device;
  int held = -1;
  const std::string image = place.directory + "/copy";
  std::string content = ReadAll(place.victim);
  content.resize((content.size() + 4095) / 4096 * 4096);
  if (const int error = MakeFile(image, content); error != 0) return error;
  if (const int error = AttachLoop(image, &device, &held); error != 0) return error;
  return InChild([&device] { return RunWith(kLoader, {"ld.so", device}, {}); });
}

}  // namespace

void AddStorageRoutes(Routes& routes) {
  routes.push_back({"ramfs", "a copy on a ramfs", Victim::kStatic, {}, [](Place& p) { return RunOn(p, "ramfs"); }});
  routes.push_back({"loop_ext4", "a copy in a loop-mounted image", Victim::kStatic,
                    [](Place& p) { return MountEmpty(p, "ext4"); }, RunCopyOnMounted});
  routes.push_back({"reflink", "a reflink of a copy (btrfs)", Victim::kStatic,
                    [](Place& p) { return MountEmpty(p, "btrfs"); }, RunReflink});
  routes.push_back({"squashfs", "a copy in a compressed image (squashfs)", Victim::kStatic, MountSquashed,
                    [](Place& p) { return Run(OnMounted(p, "x")); }});
  routes.push_back({"below", "a file that ran harmlessly, rewritten in the image below its file system",
                    Victim::kStatic, [](Place& p) { return MountEmpty(p, "ext4"); }, RunRewrittenBelow});
  routes.push_back({"device", "a copy on a block device, by the dynamic loader", Victim::kDynamic, {}, RunDevice});
}

}  // namespace bulkhead::leak
