// A way to run a blocked file.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::leak {

// What the blocked file is. Each writes a token to descriptor 9 as soon as its code runs.
enum class Victim { kStatic, kDynamic, kLibrary, kScript };

// Where one attempt takes place.
struct Place {
  std::string directory;  // its own, empty but for the files below
  std::string victim;     // the file that is blocked
  std::string harmless;   // a program of the same size that writes no token
  int fd = -1;            // for a route that opens something before the order
  void* code = nullptr;   // for a route that maps something before the order
};

// Both functions return an errno, 0 for success; an attempt may also never return.
using Step = std::function<int(Place&)>;

struct Route {
  std::string name;
  std::string title;
  Victim victim = Victim::kStatic;
  Step before;  // runs before the order; may be empty
  Step attempt;
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

void AddNameRoutes(Routes& routes);
void AddEntryRoutes(Routes& routes);
void AddContentRoutes(Routes& routes);
void AddMapRoutes(Routes& routes);
void AddScriptRoutes(Routes& routes);

}  // namespace bulkhead::leak
