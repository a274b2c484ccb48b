// One HTTP request over a plain connection to the loopback.
#pragma once

#include <cstdint>
#include <string>

namespace bulkhead::test {

struct HttpAnswer {
  int code = 0;  // 0: no answer
  std::string head;
  std::string body;
};

// `method` is "GET" unless the test is about others. Waits at most 5 s for each part of the answer.
HttpAnswer HttpRequest(uint16_t port, const std::string& path, const std::string& method = "GET");

// The value of a metric as it stands in Prometheus' text format: `series` is its name with its labels, as written
// there. -1 when there is none.
double MetricIn(const std::string& text, const std::string& series);

}  // namespace bulkhead::test
