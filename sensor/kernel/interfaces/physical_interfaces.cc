// Asks sysfs which interfaces are hardware.
#include "sensor/kernel/interfaces/physical_interfaces.h"

#include <net/if.h>

#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {

std::vector<int> PhysicalInterfaces() {
  std::vector<int> physical;
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(), &if_freenameindex);
  for (const struct if_nameindex* one = all.get(); one != nullptr && one->if_index != 0; ++one) {
    std::error_code error;
    if (std::filesystem::exists(absl::StrCat("/sys/class/net/", one->if_name, "/device"), error)) {
      physical.push_back(static_cast<int>(one->if_index));
    }
  }
  return physical;
}

}  // namespace bulkhead::sensor
