// The stored desired state after a crash at each step.
#include "sensor/store/desired_state_store.h"

#include <catch2/catch.hpp>

#include "common/file_util.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

std::vector<std::string> Payloads(const std::vector<StoredState>& loaded) {
  std::vector<std::string> payloads;
  for (const StoredState& one : loaded) payloads.push_back(one.payload);
  return payloads;
}

std::vector<std::string> LoadClean(const DesiredStateStore& store) {
  std::vector<std::string> problems;
  const std::vector<StoredState> loaded = store.Load(&problems);
  CHECK(problems.empty());
  return Payloads(loaded);
}

TEST_CASE("staged, committed, discarded") {
  const test::TempDir dir;
  const DesiredStateStore store(dir.path());
  CHECK(LoadClean(store).empty());
  REQUIRE_OK(store.Stage("one"));
  CHECK(LoadClean(store) == std::vector<std::string>{"one"});
  REQUIRE_OK(store.Commit());
  CHECK(LoadClean(store) == std::vector<std::string>{"one"});
  REQUIRE_OK(store.Stage("two"));
  // A crash here: the new one may be in the kernel, so it is tried first.
  CHECK(LoadClean(store) == std::vector<std::string>{"two", "one"});
  std::vector<std::string> problems;
  CHECK(store.Load(&problems)[0].staged);
  CHECK_FALSE(store.Load(&problems)[1].staged);
  REQUIRE_OK(store.Discard());
  CHECK(LoadClean(store) == std::vector<std::string>{"one"});
}

TEST_CASE("a damaged next state does not hide the current one") {
  const test::TempDir dir;
  const DesiredStateStore store(dir.path());
  REQUIRE_OK(store.Stage("one"));
  REQUIRE_OK(store.Commit());
  REQUIRE_OK(WriteFileAtomically(dir / "desired-state.next", "half a fi", 0600));
  std::vector<std::string> problems;
  CHECK(Payloads(store.Load(&problems)) == std::vector<std::string>{"one"});
  CHECK(problems.size() == 1);
}

}  // namespace
}  // namespace bulkhead::sensor
