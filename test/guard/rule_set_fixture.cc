// Publishes rule sets by writing the pinned maps.
#include "test/guard/rule_set_fixture.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>

#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

void SetFirst(const std::string& directory, const char* map, const void* value) {
  const UniqueFd fd(bpf_obj_get((directory + "/" + map).c_str()));
  REQUIRE(fd.valid());
  const uint32_t zero = 0;
  REQUIRE(bpf_map_update_elem(fd.get(), &zero, value, BPF_ANY) == 0);
}

void PublishConfig(const std::string& directory, const bh_config& config) {
  const UniqueFd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_test", sizeof(uint32_t), sizeof(config), 1, nullptr));
  REQUIRE(inner.valid());
  const uint32_t zero = 0, active = 1;
  const int inner_fd = inner.get();
  REQUIRE(bpf_map_update_elem(inner_fd, &zero, &config, BPF_ANY) == 0);
  SetFirst(directory, "bh_config", &inner_fd);
  SetFirst(directory, "bh_active", &active);
}

}  // namespace

void PublishWalls(const std::string& directory, bh_wall_mode isolate) {
  bh_config config{};
  config.generation = 1;
  config.isolate = isolate;
  PublishConfig(directory, config);
}

RuleSetFixture::RuleSetFixture() : directory_("/sys/fs/bpf/bulkhead-test-" + std::to_string(getpid())) {
  REQUIRE(mkdir(directory_.c_str(), 0700) == 0);
}

RuleSetFixture::~RuleSetFixture() {
  std::filesystem::remove_all(directory_);
}

void RuleSetFixture::SetScope(const std::string& cgroup_path, uint32_t level) {
  struct stat cgroup {};
  REQUIRE(stat(cgroup_path.c_str(), &cgroup) == 0);
  bh_host host{};
  host.scope_cgroup = cgroup.st_ino;
  host.scope_level = level;
  SetFirst(directory_, "bh_host", &host);
}

void RuleSetFixture::Publish(bh_wall_mode contain, bh_wall_mode isolate) {
  bh_config config{};
  config.generation = 1;
  config.contain = contain;
  config.isolate = isolate;
  PublishConfig(directory_, config);
}

void RuleSetFixture::PublishNothing() {
  const UniqueFd sets(bpf_obj_get((directory_ + "/bh_config").c_str()));
  REQUIRE(sets.valid());
  const uint32_t zero = 0, active = 1;
  bpf_map_delete_elem(sets.get(), &zero);
  SetFirst(directory_, "bh_active", &active);
}

void RuleSetFixture::Withdraw() {
  const uint32_t active = 0;
  SetFirst(directory_, "bh_active", &active);
}

}  // namespace bulkhead::sensor
