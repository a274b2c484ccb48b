// Port: the stream to the control plane, as the sensor's loop sees it. Implemented by sensor/link, which alone knows
// protobuf and gRPC.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/command.h"
#include "sensor/domain/datapath.h"
#include "sensor/domain/desired_state.h"
#include "sensor/domain/event_queue.h"
#include "sensor/domain/host_port.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// Facts about the host that do not change while it runs; see bulkhead.v1.HostInfo.
struct HostFacts {
  std::string hostname;
  std::string boot_id;
  std::string kernel_release;
  std::string os;
  std::string sensor_version;
  std::string scope;             // empty: the whole host
  std::string instance_id = {};  // UUID of this run of the program
};

// What the sensor shows to the control plane, and what it trusts. PEM.
struct Credentials {
  std::string key_pem;
  std::string chain_pem;
  std::string trust_bundle_pem;
};

// ---- From the sensor ----

struct HelloMessage {
  HostFacts host;
  Capabilities capabilities;
  ObservedState observed;
  std::string run_id = {};  // EventQueue's
};
struct HeartbeatMessage {
  uint64_t sequence = 0;
  ObservedState observed;
  uint64_t events_dropped = 0;
  std::string stored_certificate;  // serial number of the newest that is on disk, lower-case hexadecimal
};
struct PolicyStatusMessage {
  uint64_t generation = 0;
  bool applied = false;
  std::string message;
  ObservedState observed;
};
struct CommandResultMessage {
  std::string command_id;
  CommandResult result;
  CommandKind kind = CommandKind::kKillProcess;
};
struct EventBatchMessage {
  std::vector<NumberedEvent> events;  // at most kMaxEventsPerBatch
};
struct RenewCertificateMessage {
  std::string csr_der;
};
struct GoodbyeMessage {
  std::string message;
};
using OutgoingMessage = std::variant<HeartbeatMessage, PolicyStatusMessage, CommandResultMessage, EventBatchMessage,
                                     RenewCertificateMessage, GoodbyeMessage>;

inline constexpr size_t kMaxEventsPerBatch = 256;

// ---- To the sensor ----

// The control plane's names were resolved (or, when that failed, these are the addresses that were known before). The
// link waits for Open, so that the loop can open the wall for them first. Empty: nothing is known, and LinkDown
// follows.
struct LinkResolved {
  std::vector<ResolvedHost> hosts;
};
struct LinkWelcome {
  absl::Duration heartbeat_interval;  // 1 s .. 1 h
  std::string replica_id;
  std::string address;  // that was connected to
};
// The answer to a heartbeat, or a push.
struct LinkDesiredState {
  uint64_t heartbeat_sequence = 0;  // 0: pushed
  bool unchanged = false;           // then `state` and `generation` are unset
  bool renew_certificate = false;   // ask for a new one now
  uint64_t generation = 0;          // as sent, also when `state` is an error
  absl::StatusOr<DesiredState> state = absl::UnknownError("unset");
};
struct LinkCommand {
  std::string id;
  absl::StatusOr<Command> command = absl::UnknownError("unset");
};
struct LinkCommandAck {
  std::string id;
};
struct LinkEventAck {
  uint64_t through_sequence = 0;
};
struct LinkCertificateIssued {
  std::string chain_pem;
  std::string trust_bundle_pem;
};
// The attempt or the stream is over; nothing more comes until the next Connect.
struct LinkDown {
  absl::Status status;  // never OK
  std::string reason;   // the control plane's word for it, such as "SENSOR_REVOKED"; empty when it gave none
  absl::Duration retry_after = absl::ZeroDuration();  // least wait that it asked for
};
using LinkMessage = std::variant<LinkResolved, LinkWelcome, LinkDesiredState, LinkCommand, LinkCommandAck, LinkEventAck,
                                 LinkCertificateIssued, LinkDown>;

// One attempt at a time: Connect, LinkResolved, Open, LinkWelcome, …, LinkDown. Incoming messages go to a sink that is
// given to the implementation; the sink is called on the link's own threads and may block, which is the stream's flow
// control. The methods are called on the loop thread and never block.
class ControlPlaneLink {
 public:
  virtual ~ControlPlaneLink() = default;

  // Begins an attempt. Call only at first and after LinkDown.
  virtual void Connect(const Credentials& credentials) = 0;

  // Dials, after LinkResolved with at least one endpoint.
  virtual void Open(const HelloMessage& hello) = 0;

  // Queues a message. False: there is no stream, or its queue is full; the caller tries again later. A heartbeat that
  // still waits is replaced by a newer one.
  virtual bool Send(const OutgoingMessage& message) = 0;

  // Ends the attempt or the stream with this status; LinkDown follows.
  virtual void Close(const absl::Status& why) = 0;
};

}  // namespace bulkhead::sensor
