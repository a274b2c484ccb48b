// Code that is mapped instead of executed: the dynamic loader, libraries, loaders of one's own.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
constexpr uintptr_t kPageMask = 4095;

int CopyOf(const Place& place) {
  return Copy(place.victim, place.directory + "/copy");
}

int Preload(const std::string& library) {
  return RunWith("/bin/true", {"true"}, {"LD_PRELOAD=" + library});
}

int Load(const std::string& library) {
  return dlopen(library.c_str(), RTLD_NOW) != nullptr ? 0 : EACCES;
}

// The part of a static program that holds its code.
struct Code {
  Elf64_Ehdr header{};
  Elf64_Phdr segment{};
};

int FindCode(int fd, Code* code) {
  if (pread(fd, &code->header, sizeof(code->header), 0) != sizeof(code->header)) return ENOEXEC;
  for (int i = 0; i < code->header.e_phnum; ++i) {
    const off_t at = static_cast<off_t>(code->header.e_phoff + i * sizeof(Elf64_Phdr));
    if (pread(fd, &code->segment, sizeof(Elf64_Phdr), at) != sizeof(Elf64_Phdr)) return ENOEXEC;
    if (code->segment.p_type == PT_LOAD && (code->segment.p_flags & PF_X)) return 0;
  }
  return ENOEXEC;
}

// Maps the code of the static program `path` as `protection`; sets where it starts.
int MapCode(const std::string& path, int protection, void** entry, void** start, size_t* size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Code code;
  if (fd < 0) return errno;
  if (const int error = FindCode(fd, &code); error != 0) return error;
  const uintptr_t begin = code.segment.p_vaddr & ~kPageMask;
  *size = code.segment.p_vaddr + code.segment.p_memsz - begin;
  *start = mmap(reinterpret_cast<void*>(begin), *size, protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
                static_cast<off_t>(code.segment.p_offset & ~kPageMask));
  if (*start == MAP_FAILED) return errno;
  *entry = reinterpret_cast<void*>(code.header.e_entry);
  return 0;
}

[[noreturn]] void Jump(void* entry) {
  reinterpret_cast<void (*)()>(entry)();
  _exit(0);
}

int RunMapped(const std::string& path) {
  void *entry, *start;
  size_t size;
  if (const int error = MapCode(path, PROT_READ | PROT_EXEC, &entry, &start, &size); error != 0) return error;
  Jump(entry);
}

int RunProtectedLater(const std::string& path, bool keyed = false) {
  void *entry, *start;
  size_t size;
  if (const int error = MapCode(path, PROT_READ, &entry, &start, &size); error != 0) return error;
  const long changed = keyed ? syscall(SYS_pkey_mprotect, start, size, PROT_READ | PROT_EXEC, -1)
                             : mprotect(start, size, PROT_READ | PROT_EXEC);
  if (changed != 0) return errno;
  Jump(entry);
}

int RunByPersonality(const std::string& path) {
  void *entry, *start;
  size_t size;
  if (personality(READ_IMPLIES_EXEC) < 0) return errno;
  if (const int error = MapCode(path, PROT_READ, &entry, &start, &size); error != 0) return error;
  Jump(entry);
}

// Names the victim as this process's own program first.
int RunAsOwnProgram(const Place& place) {
  const int fd = open(place.victim.c_str(), O_RDONLY | O_CLOEXEC);
  prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0);  // refused while the old program is mapped; then this is RunMapped
  return RunMapped(place.victim);
}

// Reads the code like any data into memory that no file is behind.
int RunRead(const std::string& path) {
  const std::string bytes = ReadAll(path);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Code code;
  if (const int error = FindCode(fd, &code); error != 0) return error;
  const uintptr_t begin = code.segment.p_vaddr & ~kPageMask;
  const size_t size = code.segment.p_vaddr + code.segment.p_memsz - begin;
  void* const at = mmap(reinterpret_cast<void*>(begin), size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) return errno;
  std::memcpy(reinterpret_cast<void*>(code.segment.p_vaddr), bytes.data() + code.segment.p_offset,
              code.segment.p_filesz);
  if (mprotect(at, size, PROT_READ | PROT_EXEC) != 0) return errno;
  Jump(reinterpret_cast<void*>(code.header.e_entry));
}

}  // namespace

void AddMapRoutes(Routes& routes) {
  routes.push_back({"loader", "the dynamic loader given the file (ld.so FILE)", Victim::kDynamic, {}, [](Place& p) {
                      return RunWith(kLoader, {"ld.so", p.victim}, {});
                    }});
  routes.push_back({"loader_copy", "the dynamic loader given a copy", Victim::kDynamic, CopyOf, [](Place& p) {
                      return RunWith(kLoader, {"ld.so", p.directory + "/copy"}, {});
                    }});
  routes.push_back(
      {"preload", "a blocked library by LD_PRELOAD", Victim::kLibrary, {}, [](Place& p) { return Preload(p.victim); }});
  routes.push_back({"preload_copy", "a copy of a blocked library by LD_PRELOAD", Victim::kLibrary, CopyOf,
                    [](Place& p) { return Preload(p.directory + "/copy"); }});
  routes.push_back(
      {"dlopen", "a blocked library by dlopen", Victim::kLibrary, {}, [](Place& p) { return Load(p.victim); }});
  routes.push_back({"dlopen_copy", "a copy of a blocked library by dlopen", Victim::kLibrary, CopyOf,
                    [](Place& p) { return Load(p.directory + "/copy"); }});
  routes.push_back(
      {"mapped", "its code mapped and jumped to", Victim::kStatic, {}, [](Place& p) { return RunMapped(p.victim); }});
  routes.push_back({"mapped_copy", "a copy's code mapped and jumped to", Victim::kStatic, CopyOf,
                    [](Place& p) { return RunMapped(p.directory + "/copy"); }});
  routes.push_back({"mprotect", "its code mapped as data, then made executable", Victim::kStatic, {}, [](Place& p) {
                      return RunProtectedLater(p.victim);
                    }});
  routes.push_back({"pkey_mprotect", "the same by pkey_mprotect", Victim::kStatic, {}, [](Place& p) {
                      return RunProtectedLater(p.victim, true);
                    }});
  routes.push_back({"mprotect_copy", "a copy's code mapped as data, then made executable", Victim::kStatic, CopyOf,
                    [](Place& p) { return RunProtectedLater(p.directory + "/copy"); }});
  routes.push_back(
      {"personality", "its code mapped as data by a process for which data is code", Victim::kStatic, {}, [](Place& p) {
         return RunByPersonality(p.victim);
       }});
  routes.push_back(
      {"exe_file", "its code mapped by a process that claims to be it", Victim::kStatic, {}, RunAsOwnProgram});
  routes.push_back({"mapped_before", "its code mapped before the order", Victim::kStatic,
                    [](Place& p) {
                      void* start;
                      size_t size;
                      return MapCode(p.victim, PROT_READ | PROT_EXEC, &p.code, &start, &size);
                    },
                    [](Place& p) -> int { Jump(p.code); }});
  routes.push_back({"read_loader", "its code read as data into anonymous memory", Victim::kStatic, {}, [](Place& p) {
                      return RunRead(p.victim);
                    }});
}

}  // namespace bulkhead::leak
