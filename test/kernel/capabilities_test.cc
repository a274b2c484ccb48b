// What the probes say about this kernel, and that the wall is among it.
#include <iostream>

#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE_METHOD(CgroupFixture, "the probes name every mechanism and prove the wall", "[capabilities]") {
  const Capabilities& found = datapath().capabilities();
  for (const Mechanism& mechanism : found.mechanisms) {
    std::cout << (mechanism.available ? "  works    " : "  MISSING  ") << mechanism.name
              << (mechanism.available ? "" : ": ") << mechanism.reason << "\n";
    CHECK(mechanism.available == mechanism.reason.empty());
  }
  CHECK(found.mechanisms.size() == 13);
  CHECK(found.isolation >= Tier::kWall);
  CHECK(found.containment >= Tier::kWall);
  CHECK(found.block_binary >= Tier::kWall);
}

TEST_CASE_METHOD(CgroupFixture, "a second sensor on the same scope is refused", "[capabilities]") {
  CHECK_CODE(OpenDatapath(options()), kFailedPrecondition);
}

TEST_CASE_METHOD(CgroupFixture, "nothing is enforced before the first order", "[capabilities]") {
  const ObservedState observed = Observe();
  CHECK(observed.receipt.generation == 0);
  CHECK_FALSE(observed.contained);
  CHECK_FALSE(observed.isolated);
  CHECK(observed.policies.empty());
  CHECK(observed.critical.empty());
  CHECK(observed.receipt.programs.size() >= 7);
}

TEST_CASE("a scope that is no cgroup is refused", "[capabilities]") {
  DatapathOptions options;
  options.scope = "/tmp";
  CHECK_CODE(OpenDatapath(options), kNotFound);
}

}  // namespace
}  // namespace bulkhead::sensor
