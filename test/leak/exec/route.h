// A way to run a blocked file.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::leak {

// What the blocked file is. Each writes a token to descriptor 9 as soon as its code runs. kStatic, started by the
// kernel and so without that descriptor, makes kTokenDirectory instead. kForeign: a file of a format that the kernel
// does not know.
enum class Victim { kStatic, kDynamic, kLibrary, kScript, kStaticPie, k32Bit, kForeign };
inline constexpr char kTokenDirectory[] = "/tmp/bulkhead-exec-ran";

// Where one attempt takes place.
struct Place {
  std::string directory;  // its own, empty but for the files below
  std::string victim;     // the file that is blocked
  std::string harmless;   // a program of the same size that writes no token
  int fd = -1;            // for a route that opens something before the order
  void* code = nullptr;   // for a route that maps something before the order
  pid_t pid = -1;         // for a route that starts something before the order
};

// Both functions return an errno, 0 for success; an attempt may also never return.
using Step = std::function<int(Place&)>;

struct Route {
  std::string name;
  std::string title;
  Victim victim = Victim::kStatic;
  Step before;  // runs before the order; may be empty
  Step attempt;
  bool whole_host = false;  // changes the machine, so that it is tried in guests only
};
using Routes = std::vector<Route>;

// ---- What routes are made of ----

// Executes `path`; returns the errno.
int Run(const std::string& path);
int RunWith(const std::string& path, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment);
// Copies content and mode into `to`, which may exist.
int Copy(const std::string& from, const std::string& to);
std::string ReadAll(const std::string& path);
// Runs `body` in a child and waits. Returns what it returned, EINTR when a signal ended it.
int InChild(const std::function<int()>& body);
// Runs a program from PATH in a child, its output thrown away; 0 when it exits with 0, ENOENT when it is not there,
// else EIO.
int Command(const std::vector<std::string>& arguments);
// Writes `content` into a file that is there.
int WriteInto(const std::string& path, const std::string& content);
// Makes the executable file `path`.
int MakeFile(const std::string& path, const std::string& content);
// The arguments of a program that needs none, for system calls made by hand.
char* const* NoArguments();

void AddNameRoutes(Routes& routes);
void AddEntryRoutes(Routes& routes);
void AddContentRoutes(Routes& routes);
void AddMapRoutes(Routes& routes);
void AddScriptRoutes(Routes& routes);
void AddCallerRoutes(Routes& routes);
void AddLibraryRoutes(Routes& routes);
void AddStorageRoutes(Routes& routes);
void AddKernelRoutes(Routes& routes);
void AddFuseRoutes(Routes& routes);

}  // namespace bulkhead::leak
