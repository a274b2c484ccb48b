// A process that stands in for the sensor: in a cgroup of its own, with the tamper guard, obeying one word at a time.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/unique_fd.h"

namespace bulkhead::sensor {

// Executes this test's own program again, as the stand-in, inside `cgroup`.
class StandIn {
 public:
  enum Starter {
    kByTest,  // a child of this process
    kByInit,  // a child of process 1 that runs process 1's program, as a service manager does it; needs process 1 to be
              // a shell
  };

  // `environment` is NAME=VALUE words for the stand-in; empty: none.
  StandIn(const std::string& cgroup, const std::string& pin_directory, const std::string& tree,
          Starter starter = kByTest, const std::string& environment = "");
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  pid_t pid() const { return pid_; }

  // Says a word and waits for the answer: "ok" or the error. Words: open, enable, lower, raise, disable, maintain,
  // prove, up, counters, publish-wall, publish-none, map-foreign, state, exit. Empty when the stand-in is gone.
  std::string Say(const std::string& word);

  // Waits for its end, at most 10 s.
  void Wait();

 private:
  std::string ReadLine();

  pid_t pid_ = -1;
  UniqueFd to_, from_;
};

}  // namespace bulkhead::sensor
