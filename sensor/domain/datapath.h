// Port: the kernel's enforcement, as the sensor's loop sees it. Implemented by sensor/kernel, faked in unit tests.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/desired_state.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// An address and TCP port of the control plane, resolved and pinned before a wall goes up.
struct ControlPlaneEndpoint {
  IpPrefix address;  // one address, not a prefix
  uint16_t port = 0;

  friend bool operator==(const ControlPlaneEndpoint&, const ControlPlaneEndpoint&) = default;
};

// A policy that this host does not take.
struct Refusal {
  std::string policy_id;
  std::string reason;  // in words, for an operator
};

// Not thread safe: used by the loop thread only.
class Datapath {
 public:
  virtual ~Datapath() = default;

  // What this host can enforce; found once, at start.
  virtual const Capabilities& capabilities() const = 0;

  // The policies of `state` that this host cannot take after `in_force`, while it can take the others: the kernel has
  // no hook for one; a block that is not in `in_force` names a directory or, not being forced, a file that this host
  // needs: its init, loader, C library, shells, package manager, or the sensor's own program (that one also when
  // forced); a scope that is not in `in_force` is ambiguous, outside of what this sensor was started for, or, for an
  // allow-list, holds the sensor. What is in force already is not asked about again: whoever swaps a file or makes a
  // cgroup must not thereby lift its policy. Changes nothing.
  virtual std::vector<Refusal> Refusals(const DesiredState& state, const DesiredState& in_force) = 0;

  // Makes the kernel enforce exactly `state`: fills an idle rule set, reads it back, flips. On any error what was
  // enforced before still is. InvalidArgument: the state itself is unusable. FailedPrecondition: this host lacks a
  // mechanism.
  virtual absl::Status Apply(const DesiredState& state) = 0;

  // Sets the addresses that the sensor's own sockets may always reach. Takes effect at once, also while isolated; never
  // removes an address that a live connection uses.
  virtual absl::Status SetControlPlane(const std::vector<ControlPlaneEndpoint>& endpoints) = 0;

  // Tries from inside the scope whether the wall that was applied is there. Sends nothing that leaves the host when it
  // is. Empty when no wall is in force or nothing was applied by this process. Takes some milliseconds, at most about
  // 10 s. A probe that could not be run is one that did not pass.
  virtual std::vector<ActiveProbe> Prove() = 0;

  // Destroys the sockets that the wall in force forbids; their count and problems are in Observe. Apply leaves them to
  // this call, because a wall that is rolled back should not have cost the host its connections. Until then the wall
  // cuts them.
  virtual void DestroyForbidden() = 0;

  // Reads everything back from the kernel: generation, digest, programs, counters. Does not change anything.
  virtual absl::StatusOr<ObservedState> Observe() = 0;

  // Compares the kernel with what was last applied and repairs differences. Called about twice a second; cheap when
  // nothing changed. Also re-resolves blocked paths whose file was replaced and scopes whose cgroup was. Returns what
  // it repaired, in words.
  virtual absl::StatusOr<std::vector<std::string>> Maintain() = 0;

  // A descriptor that is readable when an interface appeared or changed and FollowInterfaces is due; -1 when there is
  // none.
  virtual int interface_fd() const { return -1; }

  // The part of Maintain that puts new interfaces behind the walls, for the time between its rounds: until then what a
  // host forwards through such an interface passes no wall. Cheap. Returns what it repaired, in words.
  virtual std::vector<std::string> FollowInterfaces() { return {}; }

  // What happened to the scopes of walls since the last call, in words: one appeared and its wall with it, went, or was
  // made anew. Then what the wall forbids there is still to be destroyed, and the wall is not proved.
  virtual std::vector<std::string> TakeScopeMoves() { return {}; }

  // A descriptor that is readable when DrainEvents has something; -1 when there is none.
  virtual int event_fd() const = 0;

  // Takes the kernel's events, at most `limit`; never blocks.
  virtual std::vector<Event> DrainEvents(size_t limit) = 0;
};

}  // namespace bulkhead::sensor
