// The three pages, and nothing else.
#include "controlplane/metrics/monitoring_server.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "harness/http_get.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

using bulkhead::test::HttpRequest;

struct Fixture {
  std::atomic<bool> is_ready = true;
  std::unique_ptr<MonitoringServer> server;

  Fixture() {
    auto started = MonitoringServer::Start(
        "127.0.0.1:0", {.metrics = [] { return std::string("some_metric 1\n"); },
                        .ready = [this] { return std::pair(is_ready.load(), std::string("why\n")); }});
    REQUIRE_OK(started);
    server = *std::move(started);
    REQUIRE(server->port() != 0);
  }
};

TEST_CASE_METHOD(Fixture, "metrics, health and readiness") {
  const auto metrics = HttpRequest(server->port(), "/metrics");
  CHECK(metrics.code == 200);
  CHECK(metrics.body == "some_metric 1\n");
  CHECK_THAT(metrics.head, Catch::Contains("text/plain; version=0.0.4"));
  CHECK(HttpRequest(server->port(), "/healthz").code == 200);
  CHECK(HttpRequest(server->port(), "/readyz").code == 200);
  is_ready = false;
  const auto not_ready = HttpRequest(server->port(), "/readyz");
  CHECK(not_ready.code == 503);
  CHECK(not_ready.body == "why\n");
  CHECK(HttpRequest(server->port(), "/healthz").code == 200);
}

TEST_CASE_METHOD(Fixture, "HEAD is answered without a body, for load balancers that ask so") {
  const auto head = HttpRequest(server->port(), "/readyz", "HEAD");
  CHECK(head.code == 200);
  CHECK(head.body.empty());
}

TEST_CASE_METHOD(Fixture, "nothing else is served, no file, no other method") {
  for (const char* path :
       {"/", "/metrics/", "/metrics/x", "/metricsx", "/etc/passwd", "/../etc/passwd", "/readyz/.."}) {
    INFO(path);
    const int code = HttpRequest(server->port(), path).code;
    CHECK(code >= 400);
    CHECK(code < 500);
  }
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    INFO(method);
    CHECK(HttpRequest(server->port(), "/metrics", method).code == 405);
  }
}

TEST_CASE_METHOD(Fixture, "many at once") {
  std::atomic<int> good = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 20; ++j) good += HttpRequest(server->port(), "/metrics").code == 200;
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(good == 160);
}

TEST_CASE_METHOD(Fixture, "a port that is taken is a clear error") {
  const auto second =
      MonitoringServer::Start("127.0.0.1:" + std::to_string(server->port()), {.metrics = {}, .ready = {}});
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(second.status().message()), Catch::Contains("is the port taken?"));
}

}  // namespace
}  // namespace bulkhead::controlplane
