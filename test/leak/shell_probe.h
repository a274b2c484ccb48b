// A probe in root's own words, in shell, and the words that several probes use.
#pragma once

#include <string>

#include "test/leak/probe.h"

namespace bulkhead::leak {

// IF is the interface, PEER its other end, PORT and TOKEN the shot, NS a namespace of the probe's. A command that fails
// ends the attempt; every probe cleans up what it made.
class ShellProbe : public Probe {
 public:
  struct Way {
    std::string prepare;  // before the order
    std::string attempt;  // under it
    std::string clean;    // afterwards, errors ignored
  };
  explicit ShellProbe(Way way) : way_(std::move(way)) {}
  ~ShellProbe() override;

  absl::Status Prepare(const Shot& shot) override;
  absl::Status Attempt(const Shot& shot) override;

 private:
  const Way way_;
  Shot prepared_;  // its port is the attempt's too
};

ProbeFactory Shell(ShellProbe::Way way);

// Runs such words for one shot; an error quotes them.
absl::Status RunWords(const std::string& words, const Shot& shot);

// Traffic that loopback's own judges let pass, and that tc puts on the interface too, where only its wall sees it.
inline constexpr char kMirrorLoopback[] =
    "tc qdisc add dev lo clsact; tc filter add dev lo egress matchall action mirred egress mirror dev $IF; ";
inline constexpr char kSendToLoopback[] = "printf %s $TOKEN > /dev/udp/127.0.0.1/$PORT";
inline constexpr char kUnmirrorLoopback[] = "tc qdisc del dev lo clsact";

}  // namespace bulkhead::leak
