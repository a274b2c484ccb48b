// What the benches share: configurations measured in turn, there and back, and a table of medians beside a yardstick.
#pragma once

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::bench {

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// What something took: by the clock, and of the processor, which a busy machine changes least. Nanoseconds.
class Stopwatch {
 public:
  double Wall() const { return Now(CLOCK_MONOTONIC) - wall_; }
  // Of this process and of its children that have ended.
  double Processor() const { return Used() - used_; }

 private:
  static double Now(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
  }
  static double Used() {
    rusage children{};
    getrusage(RUSAGE_CHILDREN, &children);
    return Now(CLOCK_PROCESS_CPUTIME_ID) +
           static_cast<double>(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e9 +
           static_cast<double>(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e3;
  }

  double wall_ = Now(CLOCK_MONOTONIC);
  double used_ = Used();
};

// Something to measure. `enter` makes it so, `leave` undoes it; both may be empty.
struct Configuration {
  std::string name;
  std::function<void()> enter;
  std::function<void()> leave;
};

// By configuration: what `measure` returned at each visit.
using Measured = std::map<std::string, std::vector<std::vector<double>>>;

// Visits first to last, then last to first, so that a machine that slowly changes its speed meets all alike.
inline Measured MeasureInTurn(const std::vector<Configuration>& configurations, int rounds,
                              const std::function<std::vector<double>()>& measure) {
  Measured values;
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < configurations.size(); ++i) {
      const Configuration& now = configurations[round % 2 == 0 ? i : configurations.size() - 1 - i];
      if (now.enter) now.enter();
      values[now.name].push_back(measure());
      if (now.leave) now.leave();
    }
  }
  return values;
}

// One line for each configuration: the median of value number `which`, the median of the rounds' ratios to the first
// configuration, and the quartiles of these.
inline void PrintBesideFirst(const std::vector<Configuration>& configurations, const Measured& values, size_t which,
                             const char* what) {
  printf("%s\n", what);
  const auto& base = values.at(configurations.front().name);
  for (const Configuration& configuration : configurations) {
    std::vector<double> own, ratios;
    for (const std::vector<double>& visit : values.at(configuration.name)) {
      ratios.push_back(visit[which] / base[own.size()][which]);
      own.push_back(visit[which]);
    }
    std::sort(ratios.begin(), ratios.end());
    printf("  %-40s %14.1f  %7.3fx  (%.3f to %.3f)\n", configuration.name.c_str(), Median(own), Median(ratios),
           ratios[ratios.size() / 4], ratios[ratios.size() * 3 / 4]);
  }
}

}  // namespace bulkhead::bench
