// Loads, attaches, pins and adopts programs.
#include "sensor/kernel/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "containment.skel.h"
#include "digest.skel.h"
#include "exec.skel.h"
#include "isolation.skel.h"
#include "sensor/kernel/libbpf_log.h"

namespace bulkhead::sensor {
namespace {

absl::StatusOr<bpf_link_info> InfoOf(const UniqueFd& link) {
  bpf_link_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return ErrnoToStatus(errno, "identify a link");
  return info;
}

bool IsCgroupProgram(const bpf_program* program) {
  switch (bpf_program__type(program)) {
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case BPF_PROG_TYPE_SOCK_OPS:
      return true;
    default:
      return false;
  }
}

// Owns the link's descriptor from here on. libbpf's own clean-up would switch a perf event off that the pin keeps
// alive, so it is disconnected first; for kprobes this leaves libbpf's second descriptor open until the process ends.
UniqueFd TakeDescriptor(bpf_link* link) {
  UniqueFd fd(fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3));
  const int original = bpf_link__fd(link);
  bpf_link__disconnect(link);
  bpf_link__destroy(link);
  close(original);
  return fd;
}

bool LoadsAnything(const bpf_object* object) {
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    if (bpf_program__autoload(program)) return true;
  }
  return false;
}

std::string PurposeOf(const bpf_program* program) {
  const char* function = bpf_program__section_name(program);
  return function == nullptr ? "" : function;
}

}  // namespace

absl::StatusOr<ProgramFacts> FactsOf(int program_fd) {
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program_fd, &info, &size) != 0) return ErrnoToStatus(errno, "identify a program");
  ProgramFacts facts;
  facts.id = info.id;
  std::memcpy(facts.tag.data(), info.tag, sizeof(info.tag));
  return facts;
}

void ObjectCloser::operator()(bpf_object* object) const {
  bpf_object__close(object);
}

absl::StatusOr<ObjectPtr> OpenObject(const void* bytes, size_t size, const std::set<std::string>& wanted) {
  CaptureLibbpfLog();
  ObjectPtr object(bpf_object__open_mem(bytes, size, nullptr));
  if (object == nullptr) return ErrnoToStatus(errno, absl::StrCat("open a BPF object: ", TakeLibbpfWarning()));
  bpf_program* program;
  bpf_object__for_each_program(program, object.get()) {
    bpf_program__set_autoload(program, wanted.count(bpf_program__name(program)) != 0);
  }
  return object;
}

absl::Status LoadObject(bpf_object* object, const std::string& directory) {
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (directory.empty() || bpf_map__is_internal(map)) continue;
    const std::string pin = absl::StrCat(directory, "/", bpf_map__name(map));
    if (bpf_map__set_pin_path(map, pin.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("choose pin ", pin));
  }
  TakeLibbpfWarning();
  const int error = bpf_object__load(object);
  if (error == 0) return absl::OkStatus();
  return ErrnoToStatus(error, absl::StrCat("load BPF programs: ", TakeLibbpfWarning()));
}

absl::StatusOr<Programs> Programs::Load(const std::string& directory, const Scope& scope,
                                        const std::set<std::string>& wanted) {
  Programs programs;
  programs.directory_ = directory;
  programs.scope_ = scope;
  programs.scope_fd_.Reset(open(scope.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!programs.scope_fd_.valid()) return ErrnoToStatus(errno, absl::StrCat("open cgroup ", scope.path));
  for (const auto elf_bytes :
       {isolation_bpf::elf_bytes, containment_bpf::elf_bytes, exec_bpf::elf_bytes, digest_bpf::elf_bytes}) {
    size_t size = 0;
    const void* bytes = elf_bytes(&size);
    ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, wanted));
    if (!LoadsAnything(object.get())) continue;  // its maps may be of a kind that this kernel does not know
    RETURN_IF_ERROR(LoadObject(object.get(), directory));
    programs.objects_.push_back(std::move(object));
  }
  for (const ObjectPtr& object : programs.objects_) {
    bpf_program* program;
    bpf_object__for_each_program(program, object.get()) {
      if (!bpf_program__autoload(program) || bpf_program__expected_attach_type(program) == BPF_TRACE_ITER) continue;
      Attachment attachment;
      attachment.name = bpf_program__name(program);
      attachment.program = program;
      attachment.on_cgroup = IsCgroupProgram(program);
      attachment.pin = absl::StrCat(directory, "/link_", attachment.name);
      RETURN_IF_ERROR(programs.Attach(&attachment));
      programs.attachments_.push_back(std::move(attachment));
    }
  }
  return programs;
}

absl::StatusOr<UniqueFd> Programs::MakeLink(const Attachment& attachment) const {
  TakeLibbpfWarning();
  bpf_link* link = attachment.on_cgroup ? bpf_program__attach_cgroup(attachment.program, scope_fd_.get())
                                        : bpf_program__attach(attachment.program);
  if (link == nullptr) {
    return ErrnoToStatus(errno, absl::StrCat("attach ", attachment.name, ": ", TakeLibbpfWarning()));
  }
  return TakeDescriptor(link);
}

absl::Status Programs::AttachAnew(Attachment* attachment) {
  ASSIGN_OR_RETURN(UniqueFd link, MakeLink(*attachment));
  // The new link works already; the old one goes with its pin and our descriptor.
  if (unlink(attachment->pin.c_str()) != 0 && errno != ENOENT) {
    return ErrnoToStatus(errno, absl::StrCat("remove pin ", attachment->pin));
  }
  if (bpf_obj_pin(link.get(), attachment->pin.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("pin ", attachment->pin));
  }
  attachment->link = std::move(link);
  return absl::OkStatus();
}

// A link of an earlier sensor. One whose cgroup is gone, or that cannot take our program, is replaced.
absl::Status Programs::Adopt(Attachment* attachment, UniqueFd link) {
  ASSIGN_OR_RETURN(const bpf_link_info info, InfoOf(link));
  if (attachment->on_cgroup && info.cgroup.cgroup_id != scope_.id) return AttachAnew(attachment);
  const UniqueFd old_program(bpf_prog_get_fd_by_id(info.prog_id));
  if (!old_program.valid()) return AttachAnew(attachment);
  ASSIGN_OR_RETURN(const ProgramFacts ours, FactsOf(bpf_program__fd(attachment->program)));
  ASSIGN_OR_RETURN(const ProgramFacts old, FactsOf(old_program.get()));
  if (ours.tag == old.tag) {
    attachment->program_id = old.id;
    attachment->link = std::move(link);
    return absl::OkStatus();
  }
  if (attachment->on_cgroup && bpf_link_update(link.get(), bpf_program__fd(attachment->program), nullptr) == 0) {
    attachment->link = std::move(link);
    return absl::OkStatus();
  }
  return AttachAnew(attachment);
}

absl::Status Programs::Attach(Attachment* attachment) {
  ASSIGN_OR_RETURN(const ProgramFacts ours, FactsOf(bpf_program__fd(attachment->program)));
  attachment->program_id = ours.id;
  UniqueFd pinned(bpf_obj_get(attachment->pin.c_str()));
  if (pinned.valid()) return Adopt(attachment, std::move(pinned));
  return AttachAnew(attachment);
}

std::vector<AttachedProgram> Programs::Describe() const {
  std::vector<AttachedProgram> described;
  for (const Attachment& attachment : attachments_) {
    const absl::StatusOr<bpf_link_info> info = InfoOf(attachment.link);
    if (!info.ok()) continue;
    AttachedProgram program;
    program.name = attachment.name;
    program.program_id = info->prog_id;
    program.link_id = info->id;
    program.target = attachment.on_cgroup ? scope_.path : PurposeOf(attachment.program);
    described.push_back(std::move(program));
  }
  return described;
}

absl::StatusOr<std::string> Programs::RepairOne(Attachment* attachment) {
  const absl::StatusOr<bpf_link_info> info = InfoOf(attachment->link);
  if (!info.ok() || (attachment->on_cgroup && info->cgroup.cgroup_id != scope_.id)) {
    RETURN_IF_ERROR(AttachAnew(attachment));
    ASSIGN_OR_RETURN(const ProgramFacts ours, FactsOf(bpf_program__fd(attachment->program)));
    attachment->program_id = ours.id;
    return absl::StrCat("program ", attachment->name, " was detached by somebody else: attached again");
  }
  if (info->prog_id != attachment->program_id) {
    // Only links on cgroups take a program back in place.
    const bool updated = bpf_link_update(attachment->link.get(), bpf_program__fd(attachment->program), nullptr) == 0;
    if (!updated) RETURN_IF_ERROR(AttachAnew(attachment));
    ASSIGN_OR_RETURN(const ProgramFacts ours, FactsOf(bpf_program__fd(attachment->program)));
    attachment->program_id = ours.id;
    return absl::StrCat("program ", attachment->name, " was replaced by somebody else: put back");
  }
  if (access(attachment->pin.c_str(), F_OK) == 0) return std::string();
  if (bpf_obj_pin(attachment->link.get(), attachment->pin.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("pin ", attachment->pin));
  }
  return absl::StrCat("pin of program ", attachment->name, " was removed by somebody else: pinned again");
}

absl::Status Programs::RepairMapPins(std::vector<std::string>* repaired) const {
  for (const ObjectPtr& object : objects_) {
    bpf_map* map;
    bpf_object__for_each_map(map, object.get()) {
      const std::string pin = absl::StrCat(directory_, "/", bpf_map__name(map));
      if (bpf_map__is_internal(map) || access(pin.c_str(), F_OK) == 0) continue;
      if (bpf_obj_pin(bpf_map__fd(map), pin.c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("pin ", pin));
      repaired->push_back(
          absl::StrCat("pin of map ", bpf_map__name(map), " was removed by somebody else: pinned again"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Programs::Repair() {
  std::vector<std::string> repaired;
  for (Attachment& attachment : attachments_) {
    ASSIGN_OR_RETURN(std::string what, RepairOne(&attachment));
    if (!what.empty()) repaired.push_back(std::move(what));
  }
  RETURN_IF_ERROR(RepairMapPins(&repaired));
  return repaired;
}

bpf_program* Programs::Find(const std::string& name) const {
  for (const ObjectPtr& object : objects_) {
    bpf_program* program = bpf_object__find_program_by_name(object.get(), name.c_str());
    if (program != nullptr && bpf_program__autoload(program)) return program;
  }
  return nullptr;
}

}  // namespace bulkhead::sensor
