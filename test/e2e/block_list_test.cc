// A block-list of 100 000 files as an operator orders it: one command, one policy, and every file of it stopped.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

// A program that ends with 0 at once, and a list with it behind many paths that nothing has.
class Feed {
 public:
  explicit Feed(int others)
      : directory_(fs::temp_directory_path() / ("bulkhead-e2e-feed-" + std::to_string(getpid()))) {
    fs::create_directory(directory_);
    fs::copy_file(fs::canonical("/bin/true"), program());
    std::ofstream(program(), std::ios::app) << "feed";
    std::ofstream list(file());
    list << "# a feed\n";
    for (int i = 0; i < others; ++i) list << "/nowhere/bulkhead-e2e/" << i << "\n";
    list << program() << "\n";
  }
  ~Feed() {
    std::error_code error;
    fs::remove_all(directory_, error);
  }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  std::string program() const { return directory_ / "program"; }
  std::string file() const { return directory_ / "feed.list"; }

 private:
  fs::path directory_;
};

Result Ctl(std::vector<std::string> arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string what = arguments[1];
  const Result result = System::Get().Ctl(std::move(arguments));
  INFO(result.err << result.out);
  REQUIRE(result.exit_code == 0);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  WARN(what << ": " << took.count() << " ms from the command to its end");
  return result;
}

TEST_CASE("a list of 100 000 files is one policy, and other orders go on beside it") {
  System& system = System::Get();
  system.Reset();
  const Feed feed(99999);
  CHECK(system.sandbox().Execute(feed.program()) == "open");
  const std::vector<std::string> order = {"sensor", "block-binary", "e2e",       "--list",
                                          "feed",   "--file",       feed.file(), "--wait"};
  CHECK_THAT(Ctl(order).out, Contains("block of the list feed of 100000 ordered"));
  CHECK(system.sandbox().Execute(feed.program()) == "cut SIGKILL");
  CHECK_THAT(Ctl({"policy", "list"}).out, Contains("bulkhead-block-list-feed") && Contains("list feed of 100000"));

  Ctl({"sensor", "contain", "e2e", "--wait"});
  CHECK(system.GetSensor().is_contained());
  CHECK(system.sandbox().Execute(feed.program()) == "cut SIGKILL");
  Ctl({"sensor", "release", "e2e", "--wait"});

  std::ofstream(feed.file(), std::ios::app) << "/nowhere/one-more\n";
  const Result refused = system.Ctl(order);
  CHECK(refused.exit_code != 0);
  CHECK_THAT(refused.err, Contains("binary.list.binaries") && Contains("100001"));

  REQUIRE(system.GetSensor().enforcement_policies_size() == 1);
  Ctl({"policy", "delete", system.GetSensor().enforcement_policies(0).id(), "--wait"});
  CHECK(system.sandbox().Execute(feed.program()) == "open");
}

}  // namespace
}  // namespace bulkhead::e2e
