// What routes are made of.
#include "test/leak/exec/route.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

namespace bulkhead::leak {

int RunWith(const std::string& path, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment) {
  std::vector<char*> argv, envp;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  execve(path.c_str(), argv.data(), envp.data());
  return errno;
}

int Run(const std::string& path) {
  return RunWith(path, {"victim"}, {});
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int Copy(const std::string& from, const std::string& to) {
  const std::string content = ReadAll(from);
  const int fd = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (content.empty() || fd < 0) return content.empty() ? ENODATA : errno;
  const bool whole = write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  const int error = whole ? 0 : errno;
  close(fd);
  return error;
}

int InChild(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int Command(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) dup2(nowhere, fd);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return errno;
  if (status == 0) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : EIO;
}

int WriteInto(const std::string& path, const std::string& content) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) ? 0 : errno;
  close(fd);
  return error;
}

int MakeFile(const std::string& path, const std::string& content) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (fd < 0) return errno;
  close(fd);
  return WriteInto(path, content);
}

char* const* NoArguments() {
  static char name[] = "victim";
  static char* arguments[] = {name, nullptr};
  return arguments;
}

}  // namespace bulkhead::leak
