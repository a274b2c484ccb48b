// The command line and the configuration file: defaults, precedence, and what is refused.
#include "controlplane/app/options.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "controlplane/app/listen_address.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

std::variant<Options, EarlyExit> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "bulkhead-controlplane");
  return OptionsFromCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

Options Good(const std::vector<const char*>& arguments) {
  const auto parsed = Parse(arguments);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) FAIL(exit->text);
  return std::get<Options>(parsed);
}

// The complaint about a command line that is refused.
std::string Refusal(const std::vector<const char*>& arguments) {
  const auto parsed = Parse(arguments);
  REQUIRE(std::holds_alternative<EarlyExit>(parsed));
  CHECK(std::get<EarlyExit>(parsed).exit_code == 2);
  return std::get<EarlyExit>(parsed).text;
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    const int fd = mkstemp(path_.data());
    REQUIRE(fd >= 0);
    close(fd);
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { unlink(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_ = "/tmp/bulkhead-options-XXXXXX";
};

TEST_CASE("defaults") {
  const Options options = Good({"serve"});
  CHECK(options.command == CommandLineCommand::kServe);
  CHECK(options.postgres == "embedded:/var/lib/bulkhead-controlplane/postgres");
  CHECK(options.listen == std::vector<std::string>{"0.0.0.0:7443"});
  CHECK(options.heartbeat_interval == absl::Seconds(30));
  CHECK(options.heartbeat_retention == absl::Hours(24 * 7));
  CHECK(options.max_stream_age == absl::Hours(6));
  CHECK(options.accept_rate_per_address < options.accept_rate);
  CHECK(options.server_names.size() == 4);
  CHECK(options.replica_id != Good({"serve"}).replica_id);
}

TEST_CASE("the embedded database follows the state directory") {
  CHECK(Good({"serve", "--state", "/srv/bh"}).postgres == "embedded:/srv/bh/postgres");
}

TEST_CASE("several listeners and names, on either side of the subcommand") {
  const Options options =
      Good({"--listen", "127.0.0.1:1", "serve", "--listen", "[::1]:2", "--server-name", "a", "--server-name", "b"});
  CHECK(options.listen == std::vector<std::string>{"127.0.0.1:1", "[::1]:2"});
  CHECK(options.server_names == std::vector<std::string>{"a", "b"});
}

TEST_CASE("durations take days, and are kept within limits") {
  CHECK(Good({"serve", "--heartbeat-interval", "5s", "--heartbeat-retention", "2d"}).heartbeat_retention ==
        absl::Hours(48));
  CHECK_THAT(Refusal({"serve", "--heartbeat-interval", "0s"}), Catch::Contains("--heartbeat-interval"));
  CHECK_THAT(Refusal({"serve", "--heartbeat-interval", "2h"}), Catch::Contains("1h"));
  CHECK_THAT(Refusal({"serve", "--heartbeat-interval", "soon"}), Catch::Contains("30s"));
}

TEST_CASE("what is wrong is refused with what would be right") {
  CHECK_THAT(Refusal({"serve", "--listen", "localhost:7443"}), Catch::Contains("0.0.0.0:7443"));
  CHECK_THAT(Refusal({"serve", "--listen", "127.0.0.1:70000"}), Catch::Contains("ADDRESS:PORT"));
  CHECK_THAT(Refusal({"serve", "--postgres", "mysql://x"}), Catch::Contains("embedded:/"));
  CHECK_THAT(Refusal({"serve", "--postgres-listen", "embedded:/srv/pg"}), Catch::Contains("postgresql://"));
  CHECK_THAT(Refusal({"serve", "--state", "relative"}), Catch::Contains("absolute"));
  CHECK_THAT(Refusal({"serve", "--log-level", "loud"}), Catch::Contains("loud"));
  CHECK_THAT(Refusal({"issue-operator", "--name", "e v e", "--role", "viewer", "--out", "/x"}),
             Catch::Contains("--name"));
  CHECK_THAT(Refusal({"issue-operator", "--name", "eve", "--out", "/x"}), Catch::Contains("--role"));
  CHECK_THAT(Refusal({"serve", "--no-such-flag"}), Catch::Contains("--no-such-flag"));
  Refusal({});
}

TEST_CASE("an operator's configuration names the first server name and port") {
  const Options options = Good({"issue-operator", "--name", "eve", "--role", "viewer", "--out", "/x", "--server-name",
                                "::1", "--listen", "0.0.0.0:9443"});
  CHECK(options.command == CommandLineCommand::kIssueOperator);
  CHECK(options.advertised_server == "[::1]:9443");
}

TEST_CASE("the file gives what flags do not") {
  const ConfigFile file(
      "state: /srv/bh\nlisten: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nlog-level: debug\nheartbeat-interval: 10s\n");
  const Options options = Good({"serve", "--config", file.path(), "--state", "/srv/other"});
  CHECK(options.state_directory == "/srv/other");
  CHECK(options.listen.size() == 2);
  CHECK(options.log_level == LogLevel::kDebug);
  CHECK(options.heartbeat_interval == absl::Seconds(10));
}

TEST_CASE("a file that is wrong is refused") {
  CHECK_THAT(Refusal({"serve", "--config", ConfigFile("sate: /srv\n").path()}), Catch::Contains("sate"));
  CHECK_THAT(Refusal({"serve", "--config", ConfigFile("state: [unclosed\n").path()}),
             Catch::Contains("configuration file"));
  CHECK_THAT(Refusal({"serve", "--config", ConfigFile("- a\n- b\n").path()}), Catch::Contains("mapping"));
  CHECK_THAT(Refusal({"serve", "--config", ConfigFile("listen: {a: b}\n").path()}), Catch::Contains("listen"));
  CHECK_THAT(Refusal({"serve", "--config", ConfigFile("listen: nowhere\n").path()}), Catch::Contains("nowhere"));
  Refusal({"serve", "--config", "/no/such/file.yaml"});
}

TEST_CASE("help and version are no errors") {
  const auto help = Parse({"--help"});
  REQUIRE(std::holds_alternative<EarlyExit>(help));
  CHECK(std::get<EarlyExit>(help).exit_code == 0);
  CHECK_THAT(std::get<EarlyExit>(help).text, Catch::Contains("issue-operator"));
  const auto version = Parse({"--version"});
  REQUIRE(std::holds_alternative<EarlyExit>(version));
  CHECK_THAT(std::get<EarlyExit>(version).text, Catch::StartsWith("bulkhead-controlplane "));
}

TEST_CASE("listen addresses") {
  const auto v6 = ListenAddress::Parse("[2001:db8::1]:443");
  REQUIRE_OK(v6);
  CHECK(v6->socket_address.ss_family == AF_INET6);
  CHECK(v6->port == 443);
  for (const char* wrong :
       {"", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "::1:443", "[::1]", "[]:1", "1.2.3:1", "1.2.3.4:-1"}) {
    INFO(wrong);
    CHECK_CODE(ListenAddress::Parse(wrong), kInvalidArgument);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane
