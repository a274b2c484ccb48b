// A cgroup v2 of a test's own; gone with the object.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::test {

// Throws std::runtime_error when the cgroup cannot be made.
class CgroupSandbox {
 public:
  // Makes `<cgroup2>/bulkhead-test-<pid>-<n>`.
  CgroupSandbox();
  // Makes `path`, a directory below a cgroup's.
  explicit CgroupSandbox(const std::string& path);
  // Kills what is left inside and removes the cgroup.
  ~CgroupSandbox();
  CgroupSandbox(const CgroupSandbox&) = delete;
  CgroupSandbox& operator=(const CgroupSandbox&) = delete;

  const std::string& path() const { return path_; }

  // Forks a child into the cgroup that runs `body` and exits with what it returns. `body` may use nothing but system
  // calls.
  pid_t Fork(const std::function<int()>& body) const;

  // Forks, executes `file` with `arguments`, waits: the status of waitpid. Exit status 126: not permitted; 127: another
  // error.
  int Execute(const std::string& file, const std::vector<std::string>& arguments) const;

 private:
  std::string path_;
};

// The status of waitpid for a child.
int WaitFor(pid_t pid);

}  // namespace bulkhead::test
