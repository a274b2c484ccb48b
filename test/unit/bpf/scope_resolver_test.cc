// Which cgroup a scope is, on trees of directories that look like a host's.
#include "sensor/kernel/scope_resolver.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

using Kind = PolicyScope::Kind;

const std::string kIdA = std::string(12, 'a') + std::string(52, '1');
const std::string kIdB = std::string(12, 'a') + std::string(52, '2');

class Tree {
 public:
  explicit Tree(const std::vector<std::string>& cgroups) {
    for (const std::string& cgroup : cgroups) Add(cgroup);
  }
  void Add(const std::string& cgroup) { std::filesystem::create_directories(root_.path() + cgroup); }
  void Remove(const std::string& cgroup) { std::filesystem::remove_all(root_.path() + cgroup); }

  // One look, by a sensor that was started for `own`.
  absl::StatusOr<std::optional<Scope>> Resolve(Kind kind, const std::string& name, const std::string& own = "/") const {
    const bool host = own == "/";
    const uint32_t level = host ? 0 : static_cast<uint32_t>(std::count(own.begin(), own.end(), '/'));
    return ScopeResolver(Scope{host ? root_.path() : root_.path() + own, own, 1, level}).Resolve({kind, name});
  }
  // The path that it is found at; "-": there is none now; else why it is refused.
  std::string Where(Kind kind, const std::string& name, const std::string& own = "/") const {
    const absl::StatusOr<std::optional<Scope>> found = Resolve(kind, name, own);
    if (!found.ok()) return std::string(found.status().message());
    return found->has_value() ? (*found)->relative : "-";
  }
  const std::string& root() const { return root_.path(); }

 private:
  test::TempDir root_;
};

TEST_CASE("a cgroup is resolved by its path, with identity and depth") {
  const Tree tree({"/a/b/c"});
  const absl::StatusOr<std::optional<Scope>> found = tree.Resolve(Kind::kCgroup, "/a/b");
  REQUIRE_OK(found);
  REQUIRE(found->has_value());
  CHECK((*found)->relative == "/a/b");
  CHECK((*found)->path == tree.root() + "/a/b");
  CHECK((*found)->level == 2);
  CHECK((*found)->id == CgroupId(tree.root() + "/a/b").value());
  CHECK(tree.Where(Kind::kCgroup, "/a/x") == "-");
}

TEST_CASE("a file of a cgroup is no cgroup") {
  Tree tree({"/a"});
  std::filesystem::copy_file("/proc/self/comm", tree.root() + "/a/cgroup.procs");
  CHECK(tree.Where(Kind::kCgroup, "/a/cgroup.procs") == "-");
}

TEST_CASE("malformed scopes are refused") {
  const Tree tree({"/a"});
  for (const char* path : {"", "/", "a", "/a/", "//a", "/a/../b", "/a/."}) {
    CHECK_CODE(tree.Resolve(Kind::kCgroup, path), kInvalidArgument);
  }
  CHECK_CODE(tree.Resolve(Kind::kCgroup, "/" + std::string(4095, 'a')), kInvalidArgument);
  for (const char* unit : {"", "nginx", "nginx.socket", ".service", "-.slice", "a/b.service", "a b.service"}) {
    CHECK_CODE(tree.Resolve(Kind::kSystemdUnit, unit), kInvalidArgument);
  }
  for (const char* id : {"", "0123456789a", "0123456789AB", "0123456789ag"}) {
    CHECK_CODE(tree.Resolve(Kind::kContainer, id), kInvalidArgument);
  }
  CHECK_CODE(tree.Resolve(Kind::kContainer, std::string(65, 'a')), kInvalidArgument);
}

TEST_CASE("a unit is found wherever its manager put it") {
  const Tree tree({"/system.slice/nginx.service", "/system.slice/system-getty.slice/getty@tty1.service",
                   "/user.slice/user-1000.slice/session-3.scope", "/system.slice/_memory.service"});
  CHECK(tree.Where(Kind::kSystemdUnit, "nginx.service") == "/system.slice/nginx.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "getty@tty1.service") == "/system.slice/system-getty.slice/getty@tty1.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "session-3.scope") == "/user.slice/user-1000.slice/session-3.scope");
  CHECK(tree.Where(Kind::kSystemdUnit, "user-1000.slice") == "/user.slice/user-1000.slice");
  CHECK(tree.Where(Kind::kSystemdUnit, "memory.service") == "/system.slice/_memory.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "ngin.service") == "-");
}

TEST_CASE("the system's unit goes before a user's of the same name; two users' are ambiguous") {
  const std::string first = "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service";
  const std::string second = "/user.slice/user-1001.slice/user@1001.service/app.slice/web.service";
  Tree tree({first});
  CHECK(tree.Where(Kind::kSystemdUnit, "web.service") == first);
  tree.Add(second);
  CHECK_CODE(tree.Resolve(Kind::kSystemdUnit, "web.service"), kFailedPrecondition);
  CHECK(tree.Where(Kind::kSystemdUnit, "web.service").find(second) != std::string::npos);
  tree.Add("/system.slice/web.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "web.service") == "/system.slice/web.service");
}

TEST_CASE("a container is found by its id as each engine names cgroups") {
  for (const std::string& cgroup :
       {"/system.slice/docker-" + kIdA + ".scope", "/docker/" + kIdA, "/kubepods/besteffort/pod1/" + kIdA,
        "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + kIdA + ".scope",
        "/kubepods.slice/kubepods-pod1.slice/crio-" + kIdA + ".scope", "/machine.slice/libpod-" + kIdA + ".scope",
        "/libpod_parent/libpod-" + kIdA}) {
    const Tree tree({cgroup});
    CHECK(tree.Where(Kind::kContainer, kIdA) == cgroup);
    CHECK(tree.Where(Kind::kContainer, kIdA.substr(0, 12)) == cgroup);
    CHECK(tree.Where(Kind::kContainer, std::string(12, 'b')) == "-");
  }
}

TEST_CASE("a container's monitor is not the container, and what lies in it belongs to it") {
  const std::string outer = "/machine.slice/libpod-" + kIdA + ".scope";
  const Tree tree({outer + "/container/docker-" + kIdA + ".scope", "/machine.slice/libpod-conmon-" + kIdA + ".scope"});
  CHECK(tree.Where(Kind::kContainer, kIdA) == outer);
}

TEST_CASE("a container's id that two containers begin with is ambiguous until it is longer") {
  const Tree tree({"/docker/" + kIdA, "/docker/" + kIdB});
  CHECK_CODE(tree.Resolve(Kind::kContainer, kIdA.substr(0, 12)), kFailedPrecondition);
  CHECK(tree.Where(Kind::kContainer, kIdA.substr(0, 13)) == "/docker/" + kIdA);
}

TEST_CASE("nothing outside of the sensor's own scope is resolved") {
  const Tree tree({"/a/b/x.service", "/c/y.service", "/ab", "/c/x.service"});
  CHECK(tree.Where(Kind::kCgroup, "/a", "/a") == "/a");
  CHECK(tree.Where(Kind::kCgroup, "/a/b", "/a") == "/a/b");
  CHECK(tree.Where(Kind::kSystemdUnit, "x.service", "/a") == "/a/b/x.service");
  for (const char* path : {"/ab", "/c", "/not/there"}) {
    CHECK_CODE(tree.Resolve(Kind::kCgroup, path, "/a"), kFailedPrecondition);
  }
  CHECK_CODE(tree.Resolve(Kind::kSystemdUnit, "y.service", "/a"), kFailedPrecondition);
  CHECK(tree.Where(Kind::kSystemdUnit, "y.service", "/a").find("/c/y.service is outside of /a") != std::string::npos);
}

TEST_CASE("each look is a new one: a scope that is made anew is found again") {
  Tree tree({"/a"});
  CHECK(tree.Where(Kind::kSystemdUnit, "w.service") == "-");
  tree.Add("/a/w.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "w.service") == "/a/w.service");
  tree.Remove("/a/w.service");
  CHECK(tree.Where(Kind::kSystemdUnit, "w.service") == "-");
}

TEST_CASE("names that only resemble a container's are none") {
  CHECK(ContainerIdOf("docker-" + kIdA + ".scope") == kIdA);
  for (const std::string& name :
       {std::string(), std::string("docker-.scope"), kIdA.substr(1), "f" + kIdA, "libpod-conmon-" + kIdA + ".scope",
        "docker-" + std::string(64, 'A') + ".scope", std::string("session-3.scope")}) {
    CHECK(ContainerIdOf(name).empty());
  }
}

}  // namespace
}  // namespace bulkhead::sensor
