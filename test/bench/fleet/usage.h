// What a process used, and how figures are printed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

namespace bulkhead::bench {

double Seconds(std::chrono::steady_clock::duration duration);

// What a process used so far.
struct Usage {
  double cpu_seconds = 0;
  double resident_kib = 0;
};

// From /proc; zeros when the process is gone.
Usage UsageOf(pid_t pid);

// The value that so many percent of `values` do not exceed; 0 of none.
double Percentile(std::vector<double> values, int percent);

// One line: a figure, the yardstick's, and their ratio.
void Print(const char* what, double ours, double raw);
// One line: the machine's load averages, which say what the other figures are worth.
void PrintLoad(const char* when);

}  // namespace bulkhead::bench
