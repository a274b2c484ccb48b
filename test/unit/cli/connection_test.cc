// Where the connection comes from: flags before the file, precise errors for both.
#include "controlplane/cli/connection.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "common/file_util.h"
#include "controlplane/cli/outcome.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane::cli {
namespace {

using Catch::Matchers::Contains;

class TempDirectory {
 public:
  TempDirectory() {
    char name[] = "/tmp/bulkheadctl-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~TempDirectory() { std::filesystem::remove_all(path); }
  std::string Write(const std::string& name, const std::string& content) const {
    const std::string file = path + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    REQUIRE_OK(WriteFileAtomically(file, content, 0600));
    return file;
  }
  std::string path;
};

GetEnv Environment(std::map<std::string, std::string> values) {
  auto kept = std::make_shared<std::map<std::string, std::string>>(std::move(values));
  return [kept](const char* name) -> const char* {
    const auto found = kept->find(name);
    return found == kept->end() ? nullptr : found->second.c_str();
  };
}

constexpr char kWhole[] = "server: cp.example.org:7443\nca: ca.pem\ncert: cert.pem\nkey: /etc/key.pem\n";

void CheckUsage(const absl::StatusOr<ConnectionOptions>& result, const std::string& text) {
  CHECK(ExitCodeOf(result.status()) == kExitUsage);
  CHECK_THAT(std::string(result.status().message()), Contains(text));
}

TEST_CASE("a file fills what flags leave open; its paths are relative to it") {
  const TempDirectory directory;
  const std::string file = directory.Write("config.yaml", kWhole);
  ConnectionOptions flags;
  flags.config = file;
  flags.cert = "mine.pem";
  const auto options = CompleteFromFile(flags, Environment({}));
  REQUIRE_OK(options);
  CHECK(options->server == "cp.example.org:7443");
  CHECK(options->ca == directory.path + "/ca.pem");
  CHECK(options->cert == "mine.pem");
  CHECK(options->key == "/etc/key.pem");
}

TEST_CASE("the file is found by flag, then environment, then home") {
  const TempDirectory directory;
  const std::string home = directory.Write(".config/bulkhead/config.yaml", kWhole);
  const std::string named = directory.Write("other.yaml", "server: other:1\nca: a\ncert: b\nkey: c\n");
  CHECK(CompleteFromFile({}, Environment({{"HOME", directory.path}}))->server == "cp.example.org:7443");
  CHECK(CompleteFromFile({}, Environment({{"HOME", directory.path}, {"BULKHEAD_CONFIG", named}}))->server == "other:1");
  ConnectionOptions flags;
  flags.config = home;
  CHECK(CompleteFromFile(flags, Environment({{"BULKHEAD_CONFIG", named}}))->server == "cp.example.org:7443");
}

TEST_CASE("what is wrong with the configuration is said precisely") {
  const TempDirectory directory;
  const auto with = [&](const std::string& content) {
    ConnectionOptions flags;
    flags.config = directory.Write("config.yaml", content);
    return CompleteFromFile(flags, Environment({}));
  };
  CheckUsage(CompleteFromFile({}, Environment({})), "no server: give --server");
  CheckUsage(with("server: a:1\nca: x\ncert: y\n"), "no key: give --key");
  CheckUsage(with("sever: a:1\n"), "key \"sever\" is unknown");
  CheckUsage(with("server: [a, b]\n"), "not a single value");
  CheckUsage(with("just text"), "expected the keys");
  CheckUsage(with("server: \"unclosed\nx"), "not valid YAML");
  CheckUsage(with("server: nowhere\nca: x\ncert: y\nkey: z\n"), "is not HOST:PORT");
  CheckUsage(with("server: host:70000\nca: x\ncert: y\nkey: z\n"), "is not HOST:PORT");
  ConnectionOptions missing;
  missing.config = directory.path + "/none.yaml";
  CheckUsage(CompleteFromFile(missing, Environment({})), "none.yaml");
}

TEST_CASE("a file that is not PEM is named") {
  const TempDirectory directory;
  ConnectionOptions options;
  options.server = "localhost:1";
  options.ca = directory.Write("ca.pem", "hello");
  options.cert = options.key = options.ca;
  const auto channel = OpenChannel(options);
  CHECK_CODE(channel, kInvalidArgument);
  CHECK_THAT(std::string(channel.status().message()), Contains("--ca") && Contains("is not a PEM file"));
  options.ca = directory.path + "/none";
  CHECK_CODE(OpenChannel(options), kNotFound);
}

}  // namespace
}  // namespace bulkhead::controlplane::cli
