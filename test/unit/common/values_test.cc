// Small values and files: UUIDs, hexadecimal, descriptors, errno, atomic replacement.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/guard_code.h"
#include "common/hex.h"
#include "common/unique_fd.h"
#include "common/uuid.h"
#include "harness/status_matchers.h"

namespace bulkhead {
namespace {

TEST_CASE("a new UUID is a valid, different one each time") {
  const std::string first = NewUuid();
  CHECK(IsUuid(first));
  CHECK(first != NewUuid());
  CHECK(first[14] == '4');
  CHECK_FALSE(IsUuid("00000000-0000-0000-0000-00000000000G"));
  CHECK_FALSE(IsUuid(""));
}

TEST_CASE("a guard code is different each time and is taken as people type it") {
  const std::string code = NewGuardCode();
  CHECK(code.size() == 26 + 6);
  CHECK(code != NewGuardCode());
  CHECK(GuardCodeHash("sensor", code).ok());
  const auto hash = GuardCodeHash("sensor", "0123-4567-89AB-CDEF-GHJK-MNPQ-11");
  REQUIRE_OK(hash);
  CHECK(hash->size() == 32);
  CHECK(*GuardCodeHash("sensor", " o123456789abcdefghjkmnpqiL\n") == *hash);
  CHECK(*GuardCodeHash("another", "0123-4567-89AB-CDEF-GHJK-MNPQ-11") != *hash);
}

TEST_CASE("what is not a guard code is refused with what is wrong") {
  for (const char* text : {"", "0123", "0123-4567-89AB-CDEF-GHJK-MNPQ-1U", "0123-4567-89AB-CDEF-GHJK-MNPQ-1!",
                           "0123-4567-89AB-CDEF-GHJK-MNPQ-111"}) {
    INFO(text);
    CHECK_CODE(GuardCodeHash("sensor", text), kInvalidArgument);
  }
}

TEST_CASE("SHA-256 of the empty string is the known one") {
  CHECK(ToHex(Sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a descriptor is closed once, also after a move onto itself") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  UniqueFd& alias = writer;
  writer = std::move(alias);
  CHECK(writer.valid());
  writer = UniqueFd();
  char byte;
  CHECK(read(reader.get(), &byte, 1) == 0);
}

TEST_CASE("errno becomes the code a caller can act on, with context in front") {
  CHECK_CODE(ErrnoToStatus(-ENOENT, "open x"), kNotFound);
  CHECK_CODE(ErrnoToStatus(EPERM, "open x"), kPermissionDenied);
  CHECK(Annotate(ErrnoToStatus(ENOENT, "open x"), "starting").message() ==
        "while starting: open x: No such file or directory");
  CHECK(Annotate(absl::OkStatus(), "starting").ok());
}

TEST_CASE("a file is replaced whole and read with a limit") {
  char directory[] = "/tmp/bulkhead-file-test-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/state";
  REQUIRE_OK(WriteFileAtomically(path, "one", 0600));
  REQUIRE_OK(WriteFileAtomically(path, "second", 0600));
  CHECK(ReadFile(path).value() == "second");
  CHECK_CODE(ReadFile(path, 3), kResourceExhausted);
  CHECK_CODE(ReadFile(path + ".missing"), kNotFound);
  CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) == 1);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace bulkhead
