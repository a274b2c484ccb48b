// Programs that a test runs: to their end, or beside it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace bulkhead::e2e {

using Arguments = std::vector<std::string>;

// What came of a program that ran to its end.
struct Result {
  int exit_code = -1;  // 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

// Runs a program to its end; kills it after `limit`. `input` is its standard input.
Result Run(const Arguments& command, const std::string& input = "",
           std::chrono::seconds limit = std::chrono::seconds(60));

// A program that runs beside the test and ends with this object.
class Daemon {
 public:
  // Starts it with standard output and error appended to `log`. It gets a signal when the test dies.
  Daemon(const Arguments& command, const std::string& log);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  // Asks it to stop and waits at most 20 s, then kills it. Returns the exit code, 128 + signal.
  int Stop();
  // kill -9.
  void Kill();

 private:
  int Wait(std::chrono::milliseconds limit);

  pid_t pid_ = -1;
  int exit_code_ = -1;
};

// Tries every 50 ms until `condition` holds; false when it did not within `limit`.
bool Eventually(std::chrono::seconds limit, const std::function<bool()>& condition);

// A port of the loopback that was free a moment ago.
int FreePort();

// A new directory below /tmp that any user may enter; removed by the caller.
std::string MakeTempDirectory();

}  // namespace bulkhead::e2e
