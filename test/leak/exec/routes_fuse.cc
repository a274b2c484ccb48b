// A file system in user space that shows a file one way while it is judged, and another way while it runs.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr uint64_t kFile = 2;
// Which read shows the victim first; what the kernel reads before differs from kernel to kernel.
constexpr int kMostReads = 10;

// Serves one file, "x", until it is killed.
class TwoFaces {
 public:
  TwoFaces(int device, std::string first, std::string then, int reads)
      : device_(device), first_(std::move(first)), then_(std::move(then)), reads_(reads) {}

  [[noreturn]] void Serve() {
    static std::array<char, 1 << 18> request;
    for (;;) {
      if (read(device_, request.data(), request.size()) < static_cast<ssize_t>(sizeof(fuse_in_header))) _exit(0);
      fuse_in_header header;
      std::memcpy(&header, request.data(), sizeof(header));
      Answer(header, request.data() + sizeof(header));
    }
  }

 private:
  void Answer(const fuse_in_header& header, const char* body) {
    switch (header.opcode) {
      case FUSE_INIT: {
        fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = 31;
        out.max_write = 4096;
        return Reply(header, &out, sizeof(out));
      }
      case FUSE_LOOKUP: {
        fuse_entry_out out{};
        out.nodeid = kFile;
        out.attr = Attributes(kFile);
        return std::strcmp(body, "x") == 0 ? Reply(header, &out, sizeof(out)) : Reply(header, nullptr, 0, -ENOENT);
      }
      case FUSE_GETATTR: {
        fuse_attr_out out{};
        out.attr = Attributes(header.nodeid);
        return Reply(header, &out, sizeof(out));
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = FOPEN_DIRECT_IO;  // the kernel keeps nothing that it has read
        return Reply(header, &out, sizeof(out));
      }
      case FUSE_READ: {
        fuse_read_in in;
        std::memcpy(&in, body, sizeof(in));
        const std::string& shown = reads_-- > 0 ? first_ : then_;
        const size_t from = std::min<size_t>(in.offset, shown.size());
        return Reply(header, shown.data() + from, std::min<size_t>(in.size, shown.size() - from));
      }
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;  // wants no answer
      default:
        return Reply(header, nullptr, 0, -ENOSYS);
    }
  }

  fuse_attr Attributes(uint64_t node) const {
    fuse_attr attributes{};
    attributes.ino = node;
    attributes.mode = node == kFile ? S_IFREG | 0755 : S_IFDIR | 0755;
    attributes.size = node == kFile ? then_.size() : 0;
    attributes.nlink = 1;
    return attributes;
  }

  void Reply(const fuse_in_header& to, const void* body, size_t size, int error = 0) const {
    fuse_out_header header{static_cast<uint32_t>(sizeof(fuse_out_header) + size), error, to.unique};
    std::string answer(reinterpret_cast<const char*>(&header), sizeof(header));
    if (size > 0) answer.append(static_cast<const char*>(body), size);
    if (write(device_, answer.data(), answer.size()) < 0 && errno != ENOENT) _exit(1);
  }

  const int device_;
  const std::string first_, then_;
  int reads_;
};

int RunWithTwoFaces(const Place& place, int reads) {
  const std::string at = place.directory + "/fuse";
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0 || (mkdir(at.c_str(), 0755) != 0 && errno != EEXIST)) return errno;
  const std::string options = "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
  if (mount("victim", at.c_str(), "fuse", MS_NODEV, options.c_str()) != 0) return errno;
  std::string first = ReadAll(place.harmless);
  first[15] = 1;  // padding of the ELF header, so that its head is another one
  const pid_t server = fork();
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    TwoFaces(device, first, ReadAll(place.victim), reads).Serve();
  }
  const int error = InChild([&at] { return Run(at + "/x"); });
  kill(server, SIGKILL);
  close(device);
  umount2(at.c_str(), MNT_DETACH);
  return error;
}

}  // namespace

void AddFuseRoutes(Routes& routes) {
  routes.push_back({"fuse",
                    "a file that a file system in user space shows otherwise when it runs",
                    Victim::kStatic,
                    {},
                    [](Place& p) {
                      int last = 0;
                      for (int reads = 0; reads < kMostReads; ++reads) last = RunWithTwoFaces(p, reads);
                      return last;
                    }});
}

}  // namespace bulkhead::leak
