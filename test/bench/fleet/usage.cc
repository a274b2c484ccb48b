// What a process used, and how figures are printed.
#include "bench/fleet/usage.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace bulkhead::bench {

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

Usage UsageOf(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream stat(proc + "/stat"), statm(proc + "/statm");
  std::string word;
  // utime and stime are fields 14 and 15; no name of ours holds a space.
  double user = 0, system = 0;
  for (int i = 1; i <= 13; ++i) stat >> word;
  stat >> user >> system;
  double total = 0, resident = 0;
  statm >> total >> resident;
  return {(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)),
          resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024};
}

double Percentile(std::vector<double> values, int percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) * percent / 100];
}

void Print(const char* what, double ours, double raw) {
  printf("%-46s %12.1f   yardstick %12.1f   ratio %.2f\n", what, ours, raw, raw == 0 ? 0 : ours / raw);
}

void PrintLoad(const char* when) {
  double load[3] = {};
  getloadavg(load, 3);
  printf("load average %s: %.2f %.2f %.2f\n", when, load[0], load[1], load[2]);
}

}  // namespace bulkhead::bench
