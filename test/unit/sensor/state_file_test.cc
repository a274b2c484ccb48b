// Files of the state directory: whole, or kept aside with a reason.
#include "sensor/store/state_file.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "sensor/store/state_dir.h"

namespace bulkhead::sensor {
namespace {

int CountAside(const test::TempDir& dir) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (absl::StrContains(entry.path().string(), ".corrupt-")) ++count;
  }
  return count;
}

TEST_CASE("what was written is read, byte for byte") {
  const test::TempDir dir;
  const StateFile file(dir / "x", "thing", 1);
  CHECK_CODE(file.Read(), kNotFound);
  const std::string payload("a\n\0b", 4);
  REQUIRE_OK(file.Write(payload));
  CHECK(*file.Read() == payload);
  CHECK((std::filesystem::status(dir / "x").permissions() & std::filesystem::perms::all) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  REQUIRE_OK(file.Remove());
  REQUIRE_OK(file.Remove());
  CHECK_CODE(file.Read(), kNotFound);
}

TEST_CASE("damaged and foreign files are kept aside, and the error says what is wrong") {
  const test::TempDir dir;
  const StateFile file(dir / "x", "thing", 1);
  REQUIRE_OK(file.Write("payload"));
  const std::string good = *ReadFile(dir / "x");
  struct Case {
    std::string content;
    const char* says;
  };
  const Case cases[] = {{"", "no header line"},
                        {"garbage\n", "not written by bulkhead-sensor"},
                        {good.substr(0, good.size() - 1), "bytes"},
                        {good + "x", "bytes"},
                        {good.substr(0, good.size() - 1) + "X", "checksum"}};
  for (const Case& one : cases) {
    std::filesystem::remove_all(dir.path());
    std::filesystem::create_directory(dir.path());
    REQUIRE_OK(WriteFileAtomically(dir / "x", one.content, 0600));
    const auto read = file.Read();
    CHECK_CODE(read, kDataLoss);
    CHECK(absl::StrContains(read.status().message(), one.says));
    CHECK(CountAside(dir) == 1);
    CHECK_CODE(file.Read(), kNotFound);
  }
}

TEST_CASE("another kind or version is not read") {
  const test::TempDir dir;
  REQUIRE_OK(StateFile(dir / "x", "thing", 2).Write("payload"));
  CHECK_CODE(StateFile(dir / "x", "thing", 1).Read(), kDataLoss);
  REQUIRE_OK(StateFile(dir / "x", "other", 1).Write("payload"));
  CHECK_CODE(StateFile(dir / "x", "thing", 1).Read(), kDataLoss);
}

TEST_CASE("the state directory is private and has one user at a time") {
  const test::TempDir dir;
  const std::string path = dir / "a/b";
  REQUIRE_OK(PrepareStateDir(path));
  REQUIRE_OK(PrepareStateDir(path));
  auto lock = LockStateDir(path);
  REQUIRE_OK(lock);
  CHECK_CODE(LockStateDir(path), kFailedPrecondition);
  lock->Reset();
  REQUIRE_OK(LockStateDir(path));
  std::filesystem::permissions(path, std::filesystem::perms::all);
  CHECK_CODE(PrepareStateDir(path), kFailedPrecondition);
  REQUIRE_OK(WriteFileAtomically(dir / "file", "", 0600));
  CHECK_CODE(PrepareStateDir(dir / "file"), kFailedPrecondition);
}

}  // namespace
}  // namespace bulkhead::sensor
