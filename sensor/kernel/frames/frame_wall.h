// The wall against what cgroup_skb does not see: packet, XDP, vsock and other foreign sockets, and tun devices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/frames/security_hooks.h"

struct frames_bpf;

namespace bulkhead::sensor {

// The programs follow the rule set that is published in the datapath's pinned maps: publishing one with a wall raises
// this wall too, in the same instant, and there is nothing to switch here. They stay attached when the object and the
// process are gone. Not thread safe.
class FrameWall {
 public:
  static constexpr char kPinPrefix[] = "frames_";

  // Loads the programs, attaches them in place of those that an earlier sensor left, and proves by their effect on this
  // thread that the kernel calls them. `pin_directory` is the datapath's, on a bpf file system; its maps are shared by
  // name, and made when they are not there. FailedPrecondition: neither BPF LSM nor fmod_ret works here; the message
  // says what each answered.
  static absl::StatusOr<std::unique_ptr<FrameWall>> Open(const std::string& pin_directory);

  // Detaches what any sensor attached below `pin_directory`. OK when there is nothing.
  static absl::Status Remove(const std::string& pin_directory);

  ~FrameWall();
  FrameWall(const FrameWall&) = delete;
  FrameWall& operator=(const FrameWall&) = delete;

  HookKind kind() const { return kind_; }
  const std::vector<AttachedProgram>& programs() const { return programs_; }

  // OK when the kernel calls the programs right now. FailedPrecondition when they have gone silent: somebody detached
  // one of them or switched off what carries them (kernel.ftrace_enabled=0). Takes some ten microseconds.
  absl::Status Prove() const;

  // What was denied since the first sensor of this boot, by kind.
  absl::StatusOr<std::vector<Counter>> Counters() const;

 private:
  struct Unload {
    void operator()(frames_bpf* skeleton) const;
  };
  using Skeleton = std::unique_ptr<frames_bpf, Unload>;

  FrameWall(Skeleton skeleton, HookKind kind, std::string pin_directory, std::vector<AttachedProgram> programs);
  static absl::StatusOr<std::unique_ptr<FrameWall>> OpenAs(HookKind kind, const std::string& pin_directory);

  Skeleton skeleton_;
  HookKind kind_;
  std::string pin_directory_;
  std::vector<AttachedProgram> programs_;
};

}  // namespace bulkhead::sensor
