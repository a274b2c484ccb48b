// Runs one BPF iterator program.
#include "sensor/kernel/bpf_iter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

absl::StatusOr<std::string> RunIterator(const bpf_program* program, const bpf_iter_attach_opts* options) {
  const std::unique_ptr<bpf_link, int (*)(bpf_link*)> link(bpf_program__attach_iter(program, options),
                                                           bpf_link__destroy);
  if (link == nullptr) return ErrnoToStatus(errno, absl::StrCat("attach iterator ", bpf_program__name(program)));
  const UniqueFd fd(bpf_iter_create(bpf_link__fd(link.get())));
  if (!fd.valid()) return ErrnoToStatus(errno, absl::StrCat("start iterator ", bpf_program__name(program)));
  std::string written;
  char buffer[4096];
  while (true) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size == 0) return written;
    if (size > 0) {
      written.append(buffer, size);
    } else if (errno != EAGAIN && errno != EINTR) {
      return ErrnoToStatus(errno, absl::StrCat("read iterator ", bpf_program__name(program)));
    }
  }
}

}  // namespace bulkhead::sensor
