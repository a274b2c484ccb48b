// Upgrades in place across layouts: what an older sensor left stays in force until the new one has taken its place.
#include <bpf/bpf.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "bulkhead/abi.h"
#include "harness/temp_dir.h"
#include "kernel/fixture.h"
#include "kernel/flood.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/pins.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;
using test::Flood;

constexpr uint32_t kZero = 0;

void SetLayout(const std::string& directory, uint16_t layout) {
  const BpfMap map = BpfMap::OpenPinned(directory + "/bh_host").value();
  bh_host host = map.Get<bh_host>(kZero).value();
  host.abi = layout;
  REQUIRE_OK(map.Update(&kZero, &host));
}

class UpgradeFixture : public NetFixture {
 public:
  ~UpgradeFixture() {
    Crash();
    RemoveDatapath(options()).IgnoreError();
    Open();
  }

  // Turns what this sensor pinned into what one of another layout would have left. `flat`: as layouts 1 and 2 had it.
  void PlantOlder(bool flat) {
    const uint32_t layout = flat ? kLastFlatLayout : BH_ABI_VERSION - 1;
    SetLayout(pins(), layout);
    fs::remove(scope_pins() + "/bh_host");
    const std::string target = flat ? scope_pins() : scope_pins() + "/" + kLayoutPrefix + std::to_string(layout);
    if (!flat) fs::create_directory(target);
    for (const auto& entry : fs::directory_iterator(pins())) {
      fs::rename(entry.path(), target / entry.path().filename());
    }
    fs::remove(pins());
  }

  bool OlderIsThere(bool flat) const {
    return fs::exists(flat ? scope_pins() + "/bh_active"
                           : scope_pins() + "/" + kLayoutPrefix + std::to_string(BH_ABI_VERSION - 1));
  }
};

TEST_CASE_METHOD(UpgradeFixture, "an upgrade across layouts lets no packet through", "[upgrade]") {
  const bool flat = GENERATE(true, false);
  CAPTURE(flat);
  Flood flood(host(), peer());
  flood.WaitForMore();
  REQUIRE(flood.Arrived() > 0);
  Apply({Isolation()});
  flood.WaitForMore();
  flood.Arrived();
  flood.WaitForMore();
  REQUIRE(flood.Arrived() == 0);

  Crash();
  PlantOlder(flat);
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
  Open();
  CHECK(OlderIsThere(flat));
  CHECK(Observe().older_sensor_in_force);
  REQUIRE_OK(datapath().Maintain());
  CHECK(OlderIsThere(flat));  // nothing was applied yet: without it nothing would be in force
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);

  Apply({Isolation()});
  CHECK_FALSE(OlderIsThere(flat));
  const ObservedState observed = Observe();
  CHECK_FALSE(observed.older_sensor_in_force);
  CHECK(observed.isolated);
  CHECK(observed.critical.empty());
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
  Apply({});
  flood.WaitForMore();
  CHECK(flood.Arrived() > 0);  // nothing of the older one is left to forbid it
}

TEST_CASE_METHOD(UpgradeFixture, "kill -9 at any moment of an upgrade lets no packet through", "[upgrade]") {
  Flood flood(host(), peer());
  Apply({Isolation()});
  const DesiredState state = State({Isolation()});
  flood.WaitForMore();
  flood.Arrived();
  Crash();
  PlantOlder(true);
  std::minstd_rand random(7);
  const auto start = std::chrono::steady_clock::now();
  int killed = 0;
  for (int attempt = 0; attempt < 12; ++attempt) {
    const pid_t upgrade = fork();
    if (upgrade == 0) {
      auto opened = OpenDatapath(options());
      const absl::Status done = opened.ok() ? (*opened)->Apply(state) : opened.status();
      std::cerr << done << "\n";
      _exit(done.ok() ? 0 : 1);
    }
    // The first attempts end early, the last ones near the end of the dance.
    std::this_thread::sleep_for(std::chrono::milliseconds(100 * attempt + random() % 200));
    kill(upgrade, SIGKILL);
    const int status = test::WaitFor(upgrade);
    if (WIFSIGNALED(status)) ++killed;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // its children end too, and with them its lock
    flood.WaitForMore();
    CHECK(flood.Arrived() == 0);
    if (!WIFSIGNALED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      if (!OlderIsThere(true)) PlantOlder(true);
    }
  }
  CHECK(killed > 2);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  WARN(killed << " upgrades killed in " << took.count() << " s, " << flood.tried()
              << " rounds of the flood, 0 arrived");
  Open();
  Apply({Isolation()});
  CHECK_FALSE(OlderIsThere(true));
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
}

TEST_CASE_METHOD(UpgradeFixture, "a crash in the middle of taking the older one away is gone on with", "[upgrade]") {
  Flood flood(host(), peer());
  Apply({Isolation()});
  Crash();
  PlantOlder(true);
  Open();
  Apply({Isolation()});
  Crash();
  // As it is when half of the pins are gone: the word says that nothing is published there.
  flood.WaitForMore();
  flood.Arrived();
  const BpfMap word = BpfMap::OpenPinned(pins() + "/bh_count").value();
  REQUIRE(bpf_obj_pin(word.fd(), (scope_pins() + "/bh_count").c_str()) == 0);
  bpf_map_create_opts none{};
  none.sz = sizeof(none);
  const UniqueFd zero_word(bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_active", 4, 4, 1, &none));
  REQUIRE(bpf_obj_pin(zero_word.get(), (scope_pins() + "/bh_active").c_str()) == 0);
  Open();
  CHECK_FALSE(OlderIsThere(true));
  CHECK_FALSE(fs::exists(scope_pins() + "/bh_count"));
  CHECK(Observe().isolated);
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
}

TEST_CASE_METHOD(UpgradeFixture, "an upgrade of a block leaves no moment in which the binary runs", "[upgrade]") {
  const test::TempDir directory;
  const std::string victim = directory.path() + "/victim";
  fs::copy_file("/bin/true", victim);
  Apply({Block(victim)});
  Crash();
  PlantOlder(true);
  CHECK(WIFSIGNALED(cgroup().Execute(victim, {"true"})));
  Open();
  CHECK(WIFSIGNALED(cgroup().Execute(victim, {"true"})));
  Apply({Block(victim)});
  CHECK_FALSE(OlderIsThere(true));
  CHECK(WIFSIGNALED(cgroup().Execute(victim, {"true"})));
  Apply({});
  CHECK(WIFEXITED(cgroup().Execute(victim, {"true"})));
}

TEST_CASE_METHOD(UpgradeFixture, "a sensor that starts in a new cgroup passes the older one's wall too", "[upgrade]") {
  Apply({Isolation()});
  Crash();
  PlantOlder(true);
  DatapathOptions changed = options();
  changed.sensor_cgroup = cgroup().path();
  {
    const auto opened = OpenDatapath(changed);
    REQUIRE_OK(opened);
    const BpfMap older = BpfMap::OpenPinned(scope_pins() + "/bh_host").value();
    const bh_host host = older.Get<bh_host>(kZero).value();
    CHECK(host.sensor_cgroup == CgroupId(cgroup().path()).value());
    CHECK(host.scope_cgroup == ResolveScope(options().scope)->id);
  }
  Open();
}

TEST_CASE_METHOD(UpgradeFixture, "going back to an older layout is refused and lifts nothing", "[upgrade]") {
  Flood flood(host(), peer());
  Apply({Isolation()});
  flood.WaitForMore();
  flood.Arrived();
  Crash();
  SECTION("the mark says so") {
    SetLayout(scope_pins(), BH_ABI_VERSION + 1);
  }
  SECTION("its pins say so") {
    fs::rename(pins(), scope_pins() + "/" + kLayoutPrefix + std::to_string(BH_ABI_VERSION + 1));
  }
  const auto opened = OpenDatapath(options());
  CHECK_CODE(opened.status(), kFailedPrecondition);
  CHECK_THAT(std::string(opened.status().message()), Catch::Contains("newer sensor"));
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
  REQUIRE_OK(RemoveDatapath(options()));  // uninstall --force: whatever the layout
  flood.WaitForMore();
  CHECK(flood.Arrived() > 0);
  Open();
}

TEST_CASE_METHOD(UpgradeFixture, "looking at an older sensor's host lifts nothing", "[upgrade]") {
  Flood flood(host(), peer());
  Apply({Isolation()});
  flood.WaitForMore();
  flood.Arrived();
  Crash();
  PlantOlder(true);
  Open();
  Crash();
  REQUIRE_OK(RemoveIdleDatapath(options()));
  CHECK(OlderIsThere(true));
  CHECK_FALSE(fs::exists(pins()));
  SetLayout(scope_pins(),
            kLastFlatLayout);  // fails if the mark were raised: then the older sensor could not start again
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
  Open();
}

}  // namespace
}  // namespace bulkhead::sensor
