// Modules of the kernel that send packets by themselves.
#include "sensor/kernel/kernel_senders.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

// Each target is a directory of configfs that holds the module.
void RemoveNetconsoleTargets() {
  std::error_code error;
  for (const auto& target : fs::directory_iterator("/sys/kernel/config/netconsole", error)) {
    std::ofstream(target.path() / "enabled") << "0\n";
    rmdir(target.path().c_str());
  }
}

void StopPktgen() {
  std::ofstream("/proc/net/pktgen/pgctrl") << "stop\n";
}

bool IsLoaded(const std::string& module) {
  std::error_code error;
  return fs::exists(absl::StrCat("/sys/module/", module), error);
}

}  // namespace

void KernelSenders::Close() {
  ended_.left.clear();
  if (IsLoaded("netconsole")) {
    RemoveNetconsoleTargets();
    Unload("netconsole");
  }
  if (IsLoaded("pktgen")) {
    StopPktgen();
    Unload("pktgen");
  }
}

void KernelSenders::Unload(const std::string& module) {
  if (syscall(SYS_delete_module, module.c_str(), O_NONBLOCK) == 0) {
    LogWarning("unloaded a module of the kernel: it sends past the wall", {{"module", module}});
    ended_.done.push_back(absl::StrCat("unloaded the module ", module, ": it sends past the wall"));
  } else {
    ended_.left.push_back(absl::StrCat("the kernel's ", module, " may send past the wall, and cannot be unloaded: ",
                                       std::strerror(errno), "; stop what uses it"));
  }
}

}  // namespace bulkhead::sensor
