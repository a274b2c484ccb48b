// Finds, admits through, and retires what other layouts pinned.
#include "sensor/kernel/predecessor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/pins.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kZero = 0;
constexpr char kActive[] = "bh_active";  // layout 1 on: one word; 0: nothing is published
constexpr char kHost[] = "bh_host";      // layout 1 on: begins as bh_host_head does

// The value of a pinned one-element map, as long as whoever made it says.
struct HostFacts {
  UniqueFd map;
  std::vector<char> bytes;

  bh_host_head head() const {
    bh_host_head head{};
    std::memcpy(&head, bytes.data(), sizeof(head));
    return head;
  }
  absl::Status Write(const bh_host_head& head) {
    std::memcpy(bytes.data(), &head, sizeof(head));
    if (bpf_map_update_elem(map.get(), &kZero, bytes.data(), BPF_ANY) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "write to a pinned bh_host");
  }
};

absl::StatusOr<HostFacts> ReadHost(const std::string& directory) {
  HostFacts host;
  host.map.Reset(bpf_obj_get(absl::StrCat(directory, "/", kHost).c_str()));
  if (!host.map.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", directory, "/", kHost));
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(host.map.get(), &info, &size) != 0) return ErrnoToStatus(errno, "identify bh_host");
  if (info.key_size != sizeof(kZero) || info.value_size < sizeof(bh_host_head)) {
    return absl::FailedPreconditionError(absl::StrCat(directory, "/", kHost, " is not a sensor's map"));
  }
  host.bytes.resize(info.value_size);
  if (bpf_map_lookup_elem(host.map.get(), &kZero, host.bytes.data()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("read ", directory, "/", kHost));
  }
  return host;
}

bool Exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

// 0: not the name of a layout's directory.
uint32_t LayoutOf(absl::string_view name) {
  uint32_t layout = 0;
  return absl::ConsumePrefix(&name, kLayoutPrefix) && absl::SimpleAtoi(name, &layout) ? layout : 0;
}

absl::Status Refuse(const std::string& scope_directory, uint32_t layout) {
  return absl::FailedPreconditionError(absl::StrCat(
      "what is pinned at ", scope_directory, " was left by a newer sensor, of layout ", layout, "; this one has ",
      BH_ABI_VERSION,
      " and cannot take it over. Enforcement goes on. To go back to this version, release the host, run uninstall with "
      "the newer one, then start this one"));
}

// What the directory of a scope holds beside a layout's pins.
bool IsOfTheScope(const std::string& name) {
  return name == kHost || absl::StartsWith(name, "bh_g") || absl::StartsWith(name, "guard_");
}

// Lifts what is pinned in `directory` and removes those pins, but not what the scope has beside them.
// The word is the first to change and the last to go: as long as it is there, somebody knows that pins are left.
absl::Status LiftPins(const std::string& directory) {
  const std::string word = absl::StrCat(directory, "/", kActive);
  const absl::StatusOr<BpfMap> active = BpfMap::OpenPinned(word);
  if (!active.ok()) return absl::IsNotFound(active.status()) ? absl::OkStatus() : active.status();
  // A program whose last pin goes is detached by the kernel some time later; with nothing published it does nothing at
  // once.
  RETURN_IF_ERROR(active->Update(&kZero, &kZero));
  std::vector<std::string> pins;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kActive && !IsOfTheScope(name) && !entry->is_directory()) pins.push_back(entry->path().string());
  }
  if (error) return ErrnoToStatus(error.value(), absl::StrCat("list ", directory));
  pins.push_back(word);
  for (const std::string& pin : pins) {
    if (unlink(pin.c_str()) != 0 && errno != ENOENT) return ErrnoToStatus(errno, absl::StrCat("remove pin ", pin));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Predecessor> Predecessor::Find(const std::string& scope_directory) {
  Predecessor found(scope_directory);
  const absl::StatusOr<HostFacts> mark = ReadHost(scope_directory);
  if (!mark.ok() && !absl::IsNotFound(mark.status())) return mark.status();
  const uint32_t highest = mark.ok() ? mark->head().abi : 0;
  if (highest > BH_ABI_VERSION) return Refuse(scope_directory, highest);
  found.older_are_out_ = highest == BH_ABI_VERSION;
  if (Exists(absl::StrCat(scope_directory, "/", kActive))) found.found_.push_back({scope_directory, kLastFlatLayout});
  std::error_code error;
  for (fs::directory_iterator entry(scope_directory, error), end; !error && entry != end; entry.increment(error)) {
    const uint32_t layout = LayoutOf(entry->path().filename().string());
    if (layout > BH_ABI_VERSION) return Refuse(scope_directory, layout);
    if (layout != 0 && layout != BH_ABI_VERSION) found.found_.push_back({entry->path().string(), layout});
  }
  if (error) return ErrnoToStatus(error.value(), absl::StrCat("list ", scope_directory));
  return found;
}

bool Predecessor::published() const {
  for (const Pins& pins : found_) {
    const absl::StatusOr<BpfMap> word = BpfMap::OpenPinned(absl::StrCat(pins.directory, "/", kActive));
    if (absl::IsNotFound(word.status())) continue;
    const absl::StatusOr<uint32_t> active = word.ok() ? word->Get<uint32_t>(kZero) : word.status();
    if (!active.ok() || *active != 0) return true;
  }
  return false;
}

std::string Predecessor::name() const {
  return absl::StrCat("layout ", absl::StrJoin(found_, " and ", [](std::string* out, const Pins& pins) {
                        absl::StrAppend(out, pins.layout);
                      }));
}

absl::Status Predecessor::AdmitSensor(uint64_t id) const {
  for (const Pins& pins : found_) {
    absl::StatusOr<HostFacts> host = ReadHost(pins.directory);
    if (absl::IsNotFound(host.status())) continue;
    RETURN_IF_ERROR(host.status());
    bh_host_head head = host->head();
    if (id == 0 || head.sensor_cgroup == id) continue;
    head.sensor_cgroup = id;
    RETURN_IF_ERROR(host->Write(head));
  }
  return absl::OkStatus();
}

absl::Status Predecessor::Retire() {
  while (!found_.empty()) {
    const std::string directory = found_.back().directory;
    RETURN_IF_ERROR(LiftPins(directory));
    if (directory != scope_directory_) RETURN_IF_ERROR(RemovePins(directory));
    found_.pop_back();
  }
  return absl::OkStatus();
}

absl::Status Predecessor::KeepOlderOut() {
  if (older_are_out_) return absl::OkStatus();
  absl::StatusOr<HostFacts> mark = ReadHost(scope_directory_);
  if (absl::IsNotFound(mark.status())) {
    const MapSpec spec{BPF_MAP_TYPE_ARRAY, kHost, sizeof(kZero), sizeof(bh_host), 1, 0};
    ASSIGN_OR_RETURN(const BpfMap made, BpfMap::Create(spec));
    bh_host value{};
    value.abi = BH_ABI_VERSION;
    RETURN_IF_ERROR(made.Update(&kZero, &value));
    const std::string pin = absl::StrCat(scope_directory_, "/", kHost);
    if (bpf_obj_pin(made.fd(), pin.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("pin ", pin));
  } else {
    RETURN_IF_ERROR(mark.status());
    bh_host_head head = mark->head();
    head.abi = BH_ABI_VERSION;
    RETURN_IF_ERROR(mark->Write(head));
  }
  older_are_out_ = true;
  return absl::OkStatus();
}

absl::Status LiftEverything(const std::string& scope_directory) {
  absl::Status lifted = LiftPins(scope_directory);
  std::error_code error;
  for (fs::directory_iterator entry(scope_directory, error), end; !error && entry != end; entry.increment(error)) {
    if (LayoutOf(entry->path().filename().string()) != 0) lifted.Update(LiftPins(entry->path().string()));
  }
  return lifted;
}

}  // namespace bulkhead::sensor
