// Who else loads code for a process: the loader's other doors, what glibc loads by itself, a program's interpreter.
#include <elf.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
constexpr char kTrue[] = "/bin/true";

std::string CopyName(const Place& place) {
  return place.directory + "/copy";
}

int MakeCopy(const Place& place) {
  return Copy(place.victim, CopyName(place));
}

// A program that names `interpreter` as its loader; that has to end in data, or Linux 6.1 cannot clear its last page.
int RunInterpretedBy(const Place& place, const std::string& interpreter) {
  struct {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    char interpreter[256];
  } file{};
  std::memcpy(file.header.e_ident, ELFMAG, SELFMAG);
  file.header.e_ident[EI_CLASS] = ELFCLASS64;
  file.header.e_ident[EI_DATA] = ELFDATA2LSB;
  file.header.e_ident[EI_VERSION] = EV_CURRENT;
  file.header.e_type = ET_EXEC;
  file.header.e_machine = EM_X86_64;
  file.header.e_version = EV_CURRENT;
  file.header.e_entry = 0x10000000;
  file.header.e_phoff = sizeof(Elf64_Ehdr);
  file.header.e_ehsize = sizeof(Elf64_Ehdr);
  file.header.e_phentsize = sizeof(Elf64_Phdr);
  file.header.e_phnum = 2;
  const size_t at = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  file.segments[0] = {PT_INTERP, PF_R, at, at, at, interpreter.size() + 1, interpreter.size() + 1, 1};
  file.segments[1] = {PT_LOAD, PF_R, 0, 0x10000000, 0x10000000, sizeof(file), sizeof(file), 4096};
  std::strncpy(file.interpreter, interpreter.c_str(), sizeof(file.interpreter) - 1);
  const std::string program = place.directory + "/program";
  const int error = MakeFile(program, std::string(reinterpret_cast<const char*>(&file), sizeof(file)));
  return error != 0 ? error : Run(program);
}

// An /etc of this process's own.
int HideEtc() {
  return mount("tmpfs", "/etc", "tmpfs", 0, nullptr) == 0 ? 0 : errno;
}

int RunPreloadedForAll(const Place& place) {
  if (const int error = HideEtc(); error != 0) return error;
  if (const int error = MakeFile("/etc/ld.so.preload", place.victim + "\n"); error != 0) return error;
  return Run(kTrue);
}

// glibc asks a library for the names of users.
int RunAsNameService(const Place& place) {
  if (const int error = HideEtc(); error != 0) return error;
  if (const int error = MakeFile("/etc/nsswitch.conf", "passwd: victim\n"); error != 0) return error;
  if (symlink(place.victim.c_str(), (place.directory + "/libnss_victim.so.2").c_str()) != 0) return errno;
  return RunWith("/usr/bin/getent", {"getent", "passwd", "nobody"}, {"LD_LIBRARY_PATH=" + place.directory});
}

// glibc asks a library how to convert a character set.
int RunAsConverter(const Place& place) {
  if (const int error =
          MakeFile(place.directory + "/gconv-modules", "module VICTIM// INTERNAL " + place.victim + " 1\n");
      error != 0)
    return error;
  return RunWith("/usr/bin/iconv", {"iconv", "-f", "VICTIM", "-t", "UTF-8", "/dev/null"},
                 {"GCONV_PATH=" + place.directory});
}

int LoadFromMemfd(const Place& place) {
  const int fd = static_cast<int>(syscall(SYS_memfd_create, "x", 0));
  const std::string content = ReadAll(place.victim);
  if (fd < 0 || write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) return errno;
  return RunWith(kTrue, {"true"}, {"LD_PRELOAD=/proc/self/fd/" + std::to_string(fd)});
}

}  // namespace

void AddLibraryRoutes(Routes& routes) {
  routes.push_back(
      {"elf_interpreter", "as the loader that a program names (PT_INTERP)", Victim::kStaticPie, {}, [](Place& p) {
         return RunInterpretedBy(p, p.victim);
       }});
  routes.push_back(
      {"elf_interpreter_copy", "a copy as the loader that a program names", Victim::kStaticPie, {}, [](Place& p) {
         const int error = MakeCopy(p);
         return error != 0 ? error : RunInterpretedBy(p, CopyName(p));
       }});
  routes.push_back(
      {"loader_pie", "the dynamic loader given a static-pie program", Victim::kStaticPie, {}, [](Place& p) {
         return RunWith(kLoader, {"ld.so", p.victim}, {});
       }});
  routes.push_back({"loader_preload", "a blocked library by ld.so --preload", Victim::kLibrary, {}, [](Place& p) {
                      return RunWith(kLoader, {"ld.so", "--preload", p.victim, kTrue}, {});
                    }});
  routes.push_back({"audit", "a blocked library by LD_AUDIT", Victim::kLibrary, {}, [](Place& p) {
                      return RunWith(kTrue, {"true"}, {"LD_AUDIT=" + p.victim});
                    }});
  routes.push_back(
      {"preload_file", "a blocked library by /etc/ld.so.preload", Victim::kLibrary, {}, RunPreloadedForAll});
  routes.push_back({"name_service", "a blocked library as an NSS module", Victim::kLibrary, {}, RunAsNameService});
  routes.push_back({"converter", "a blocked library as a gconv module", Victim::kLibrary, {}, RunAsConverter});
  routes.push_back(
      {"preload_memfd", "a copy of a blocked library in a memfd, by LD_PRELOAD", Victim::kLibrary, {}, LoadFromMemfd});
}

}  // namespace bulkhead::leak
