// Security hooks by libbpf: retargeting before the load, attaching and pinning after it.
#include "sensor/kernel/frames/security_hooks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

constexpr absl::string_view kSection = "lsm/";
constexpr char kNewPinSuffix[] = "_new";

struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, LinkDeleter>;

bool KernelHas(const std::string& hook, HookKind kind) {
  const std::string name = kind == HookKind::kLsm ? hook : absl::StrCat("security_", hook);
  return libbpf_find_vmlinux_btf_id(name.c_str(), kind == HookKind::kLsm ? BPF_LSM_MAC : BPF_MODIFY_RETURN) > 0;
}

absl::Status Retarget(bpf_program* program, const std::string& hook) {
  bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
  bpf_program__set_expected_attach_type(program, BPF_MODIFY_RETURN);
  const int error = bpf_program__set_attach_target(program, 0, absl::StrCat("security_", hook).c_str());
  if (error != 0) return ErrnoToStatus(error, absl::StrCat("find security_", hook, " in the kernel's BTF"));
  return absl::OkStatus();
}

AttachedProgram Describe(const bpf_program* program, const bpf_link* link) {
  AttachedProgram attached;
  attached.name = bpf_program__name(program);
  bpf_link_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size) == 0) {
    attached.link_id = info.id;
    attached.program_id = info.prog_id;
  }
  absl::string_view hook = bpf_program__section_name(program);
  attached.target = std::string(hook.substr(hook.find('/') + 1));
  return attached;
}

// bpffs cannot replace a pin by pinning, but by renaming.
absl::Status ReplacePin(bpf_link* link, const std::string& path) {
  const std::string fresh = absl::StrCat(path, kNewPinSuffix);
  if (unlink(fresh.c_str()) != 0 && errno != ENOENT)
    return ErrnoToStatus(errno, absl::StrCat("remove the left-over pin ", fresh));
  const int error = bpf_obj_pin(bpf_link__fd(link), fresh.c_str());
  if (error != 0) return ErrnoToStatus(error, absl::StrCat("pin ", fresh));
  if (rename(fresh.c_str(), path.c_str()) != 0)
    return ErrnoToStatus(errno, absl::StrCat("rename ", fresh, " to ", path));
  return absl::OkStatus();
}

}  // namespace

const char* HookKindName(HookKind kind) {
  return kind == HookKind::kLsm ? "lsm" : "fmod_ret";
}

std::vector<HookKind> HookKindsToTry() {
  const absl::StatusOr<std::string> list = ReadFile("/sys/kernel/security/lsm");
  if (list.ok()) {
    const std::vector<std::string> names = absl::StrSplit(absl::StripSuffix(*list, "\n"), ',');
    if (std::find(names.begin(), names.end(), "bpf") == names.end()) return {HookKind::kFmodRet};
  }
  return {HookKind::kLsm, HookKind::kFmodRet};
}

absl::Status TargetSecurityHooks(bpf_object* object, HookKind kind, const std::vector<std::string>& optional) {
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    const absl::string_view section = bpf_program__section_name(program);
    if (!absl::StartsWith(section, kSection)) continue;
    const std::string hook(section.substr(kSection.size()));
    const std::string name = bpf_program__name(program);
    if (!KernelHas(hook, kind)) {
      if (std::find(optional.begin(), optional.end(), name) == optional.end()) {
        return absl::NotFoundError(
            absl::StrCat("this kernel has no hook ", hook, " for ", HookKindName(kind), " programs"));
      }
      bpf_program__set_autoload(program, false);
    } else if (kind == HookKind::kFmodRet) {
      RETURN_IF_ERROR(Retarget(program, hook));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AttachedProgram>> AttachAndPin(bpf_object* object, const std::string& directory,
                                                          const std::string& prefix) {
  std::vector<std::pair<const bpf_program*, Link>> links;
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    if (!bpf_program__autoload(program) || bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL) continue;
    Link link(bpf_program__attach(program));
    if (link == nullptr) return ErrnoToStatus(errno, absl::StrCat("attach ", bpf_program__name(program)));
    links.emplace_back(program, std::move(link));
  }
  std::vector<AttachedProgram> attached;
  for (auto& [owner, link] : links) {
    const std::string path = absl::StrCat(directory, "/", prefix, bpf_program__name(owner));
    const absl::Status pinned = ReplacePin(link.get(), path);
    if (!pinned.ok()) {
      for (const AttachedProgram& done : attached) unlink(absl::StrCat(directory, "/", prefix, done.name).c_str());
      return pinned;
    }
    attached.push_back(Describe(owner, link.get()));
  }
  return attached;
}

std::vector<std::string> FindDetached(const std::vector<AttachedProgram>& programs, const std::string& directory,
                                      const std::string& prefix) {
  std::vector<std::string> lost;
  for (const AttachedProgram& program : programs) {
    const UniqueFd pinned(bpf_obj_get(absl::StrCat(directory, "/", prefix, program.name).c_str()));
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    const bool there = pinned.valid() && bpf_obj_get_info_by_fd(pinned.get(), &info, &size) == 0;
    if (!there || info.id != program.link_id) lost.push_back(program.name);
  }
  return lost;
}

absl::Status ShareMapsByPin(bpf_object* object, const std::string& directory, absl::string_view prefix) {
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map) || !absl::StartsWith(bpf_map__name(map), prefix)) continue;
    const int error = bpf_map__set_pin_path(map, absl::StrCat(directory, "/", bpf_map__name(map)).c_str());
    if (error != 0) return ErrnoToStatus(error, absl::StrCat("share map ", bpf_map__name(map)));
  }
  return absl::OkStatus();
}

absl::Status RemovePins(const std::string& directory, const std::string& prefix) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()), &closedir);
  if (entries == nullptr)
    return errno == ENOENT ? absl::OkStatus() : ErrnoToStatus(errno, absl::StrCat("list ", directory));
  while (const dirent* entry = readdir(entries.get())) {
    const std::string path = absl::StrCat(directory, "/", entry->d_name);
    if (absl::StartsWith(entry->d_name, prefix) && unlink(path.c_str()) != 0) {
      return ErrnoToStatus(errno, absl::StrCat("remove pin ", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
