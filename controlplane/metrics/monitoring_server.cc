// Plain HTTP for those who look from outside: /metrics, /healthz, /readyz.
#include "controlplane/metrics/monitoring_server.h"

#include <CivetServer.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane {
namespace {

struct Answer {
  int code = 200;
  std::string body;
};

// One page; GET and HEAD, everything else is refused.
class Page final : public CivetHandler {
 public:
  explicit Page(std::function<Answer()> make) : make_(std::move(make)) {}

  bool handleGet(CivetServer*, mg_connection* connection) override { return Write(connection, make_(), true); }
  bool handleHead(CivetServer*, mg_connection* connection) override { return Write(connection, make_(), false); }
  bool handlePost(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handlePut(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handleDelete(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handlePatch(CivetServer*, mg_connection* connection) override { return Refuse(connection); }

 private:
  static bool Refuse(mg_connection* connection) {
    return Write(connection, {.code = 405, .body = "only GET and HEAD\n"}, true);
  }

  static bool Write(mg_connection* connection, const Answer& answer, bool with_body) {
    const char* const word = answer.code == 200   ? "OK"
                             : answer.code == 405 ? "Method Not Allowed"
                                                  : "Service Unavailable";
    // The version is that of Prometheus' text format; to others this is plain text.
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
              "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
              answer.code, word, answer.body.size());
    if (with_body) mg_write(connection, answer.body.data(), answer.body.size());
    return true;
  }

  const std::function<Answer()> make_;
};

}  // namespace

class MonitoringServer::Http {
 public:
  Http(const std::string& address, const Pages& pages)
      : metrics_([show = pages.metrics] { return Answer{.body = show()}; }),
        // That it answers is all that there is to say: a process that hangs does not.
        health_([] { return Answer{.body = "alive\n"}; }),
        ready_([look = pages.ready] {
          auto [ready, text] = look();
          return Answer{.code = ready ? 200 : 503, .body = std::move(text)};
        }),
        // Scrapers are few. A client that dawdles is cut off, so that it cannot keep the others waiting for long.
        server_(std::vector<std::string>{"listening_ports", address, "num_threads", "4", "request_timeout_ms", "5000",
                                         "enable_keep_alive", "no"}) {
    // A '$' ends the path: without it "/metrics" would answer for "/metrics/anything".
    server_.addHandler("/metrics$", metrics_);
    server_.addHandler("/healthz$", health_);
    server_.addHandler("/readyz$", ready_);
  }

  uint16_t port() { return static_cast<uint16_t>(server_.getListeningPorts().at(0)); }

 private:
  Page metrics_;
  Page health_;
  Page ready_;
  CivetServer server_;  // last: it stops before its pages go
};

MonitoringServer::MonitoringServer(std::unique_ptr<Http> http) : http_(std::move(http)), port_(http_->port()) {}

MonitoringServer::~MonitoringServer() = default;

absl::StatusOr<std::unique_ptr<MonitoringServer>> MonitoringServer::Start(const std::string& address, Pages pages) {
  try {
    return std::unique_ptr<MonitoringServer>(new MonitoringServer(std::make_unique<Http>(address, pages)));
  } catch (const CivetException& error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on ", address, " for monitoring (", error.what(), "); is the port taken?"));
  }
}

}  // namespace bulkhead::controlplane
