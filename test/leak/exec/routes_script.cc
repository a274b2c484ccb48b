// Scripts: executed, and read by their interpreter.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr char kShell[] = "/bin/sh";

int RunInterpreted(const Place& place, const std::string& interpreter) {
  const int error = MakeFile(place.directory + "/script", "#!" + interpreter + "\n");
  return error != 0 ? error : Run(place.directory + "/script");
}

}  // namespace

void AddScriptRoutes(Routes& routes) {
  routes.push_back({"interpreter_copy", "a copy as the interpreter of a script", Victim::kStatic, {}, [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/copy");
                      return error != 0 ? error : RunInterpreted(p, p.directory + "/copy");
                    }});
  routes.push_back({"interpreter_nested",
                    "as the interpreter of a script that is an interpreter",
                    Victim::kStatic,
                    {},
                    [](Place& p) {
                      const int error = MakeFile(p.directory + "/inner", "#!" + p.victim + "\n");
                      return error != 0 ? error : RunInterpreted(p, p.directory + "/inner");
                    }});
  routes.push_back({"interpreter", "as the interpreter of a script", Victim::kStatic, {}, [](Place& p) {
                      return RunInterpreted(p, p.victim);
                    }});
  routes.push_back({"script", "a script, by its path", Victim::kScript, {}, [](Place& p) { return Run(p.victim); }});
  routes.push_back({"script_symlink", "a script, by a symbolic link", Victim::kScript, {}, [](Place& p) {
                      return symlink(p.victim.c_str(), (p.directory + "/s").c_str()) != 0 ? errno
                                                                                          : Run(p.directory + "/s");
                    }});
  routes.push_back({"script_copy", "a copy of a script", Victim::kScript, {}, [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/copy");
                      return error != 0 ? error : Run(p.directory + "/copy");
                    }});
  routes.push_back({"script_read", "a script given to its interpreter (sh SCRIPT)", Victim::kScript, {}, [](Place& p) {
                      return RunWith(kShell, {"sh", p.victim}, {});
                    }});
  routes.push_back({"script_piped", "a script on the interpreter's standard input", Victim::kScript, {}, [](Place& p) {
                      const int fd = open(p.victim.c_str(), O_RDONLY);
                      return fd < 0 || dup2(fd, 0) < 0 ? errno : RunWith(kShell, {"sh"}, {});
                    }});
}

}  // namespace bulkhead::leak
