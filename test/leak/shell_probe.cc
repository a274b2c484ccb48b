// A probe in root's own words, in shell.
#include "test/leak/shell_probe.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {

ShellProbe::~ShellProbe() {
  RunWords("set +e; " + way_.clean, prepared_).IgnoreError();
}

absl::Status ShellProbe::Prepare(const Shot& shot) {
  prepared_ = shot;
  return RunWords(way_.prepare, shot);
}

absl::Status ShellProbe::Attempt(const Shot& shot) {
  return RunWords(way_.attempt, shot);
}

ProbeFactory Shell(ShellProbe::Way way) {
  return [way] { return std::make_unique<ShellProbe>(way); };
}

absl::Status RunWords(const std::string& words, const Shot& shot) {
  return Run(absl::StrReplaceAll(words, {{"$IF", kInterface},
                                         {"$PEER", kPeer4},
                                         {"$PORT", absl::StrCat(shot.port)},
                                         {"$TOKEN", shot.token},
                                         {"$NS", "lkns"}}));
}

}  // namespace bulkhead::leak
