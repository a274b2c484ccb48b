// Programs for the cases about execution, in a directory of the case's own.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "harness/temp_dir.h"
#include "kernel/fixture.h"

namespace bulkhead::sensor {

// "victim" and "other" end with 0 at once; each has a content of its own.
class VictimFixture : public CgroupFixture {
 public:
  VictimFixture() {
    Make("victim");
    Make("other");
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  // Another such program.
  void Make(const std::string& name) const {
    namespace fs = std::filesystem;
    fs::copy_file(fs::exists("/bin/true") ? "/bin/true" : "/usr/bin/true", Path(name));
    fs::permissions(Path(name), fs::perms(0755));
    std::ofstream(Path(name), std::ios::app) << name;  // behind the end of the ELF file
  }

 private:
  test::TempDir directory_;
};

}  // namespace bulkhead::sensor
