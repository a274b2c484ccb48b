// The control plane's values as the domain sees them: no protobuf, no SQL.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ip_prefix.h"

namespace bulkhead::controlplane {

// What operators call sensors by in groups; see bulkhead.v1.Sensor.labels.
using Labels = std::map<std::string, std::string>;

enum class Trust { kTrusted = 1, kRevoked = 2 };
enum class Direction { kInbound = 1, kOutbound = 2, kAny = 3 };
enum class PolicyTemplate { kNetworkContainment = 1, kNetworkIsolation = 2, kBlockBinary = 3, kAllowList = 4 };
enum class PolicyAction { kDeny = 1, kSigkill = 2, kNotify = 3 };
enum class OnExpiry { kRelease = 1, kHold = 2 };
enum class OnUnreachable { kRollBack = 1, kHold = 2 };
enum class ScopeKind { kCgroup = 1, kSystemdUnit = 2, kContainer = 3 };
enum class CommandState { kQueued = 1, kDelivered = 2, kSucceeded = 3, kFailed = 4, kExpired = 5 };
enum class CommandKind {
  kKillProcess = 1,
  kLowerGuard = 2,
  kSetGuardCode = 3,
  kKillTree = 4,
  kKillFile = 5,
  kKillScope = 6
};
// Kills end with one of the first six, orders to the tamper guard with kRefused, kUnknown, kDone or kFailed.
enum class CommandOutcome {
  kGone = 1,
  kAlreadyGone = 2,
  kNotTheSameProcess = 3,
  kRefused = 4,
  kSignalledStillThere = 5,
  kUnknown = 6,
  kDone = 7,
  kFailed = 8
};
enum class Convergence { kUnknown = 0, kSynced = 1, kPending = 2, kFailed = 3, kDrifted = 4, kPartial = 5 };
enum class Health { kHealthy = 1, kDegraded = 2, kOffline = 3, kCritical = 4 };
enum class Tier { kUnknown = 0, kNone = 1, kPartial = 2, kWall = 3, kFull = 4 };
enum class TokenState { kActive = 1, kUsed = 2, kExpired = 3, kRevoked = 4 };

// A cgroup of a host, named in one of three ways; see bulkhead.v1.Scope.
struct Scope {
  ScopeKind kind = ScopeKind::kCgroup;
  std::string name;

  friend bool operator==(const Scope&, const Scope&) = default;
};

// What an allow-list lets run; one of the two is set, or both.
struct AllowedBinary {
  std::string path;    // absolute
  std::string sha256;  // 32 bytes

  friend auto operator<=>(const AllowedBinary&, const AllowedBinary&) = default;
};

struct AllowList {
  std::vector<AllowedBinary> binaries;  // sorted, each once
  bool learn = false;

  friend bool operator==(const AllowList&, const AllowList&) = default;
};

// What a block-list blocks; one of the two is set, or both: then each of them blocks.
struct BlockedBinary {
  std::string path;    // absolute
  std::string sha256;  // 32 bytes

  friend auto operator<=>(const BlockedBinary&, const BlockedBinary&) = default;
};

struct BlockList {
  std::string name;    // empty: there is no list
  std::string sha256;  // 32 bytes: of the text
  uint32_t size = 0;
  std::string text;  // as block_list.h says; set in an order and in a desired state that is to be sent, else empty
};

struct Policy {
  std::string id;
  std::string name;
  std::string sensor_id;
  PolicyTemplate policy_template = PolicyTemplate::kNetworkContainment;
  PolicyAction action = PolicyAction::kDeny;
  std::string binary_path;    // block-binary: absolute, or empty when the digest alone names the file
  std::string binary_sha256;  // block-binary: 32 bytes, or empty when the path alone names the file
  BlockList block_list;       // block-binary: in place of path and digest
  bool kill_running = false;
  bool forced = false;
  absl::Time created_at;
  std::string created_by;
  std::string etag;
  std::optional<absl::Time> expires_at;  // end of the lease; none: until an order lifts it
  OnExpiry on_expiry = OnExpiry::kRelease;
  OnUnreachable on_unreachable = OnUnreachable::kRollBack;  // network templates only
  std::optional<Scope> scope;                               // none: everything that the sensor was started for
  AllowList allow_list;                                     // allow-list only, which always has a scope
  std::string signed_order;  // bulkhead.v1.SignedOrder, opaque to domain and store; empty: it was not signed
};

// What an order for a policy asks for beside its template.
struct PolicyTerms {
  PolicyAction action = PolicyAction::kDeny;
  bool allow_degraded = false;           // accept that a layer is missing on the host
  std::optional<absl::Time> expires_at;  // checked by ValidateExpiry
  OnExpiry on_expiry = OnExpiry::kRelease;
  OnUnreachable on_unreachable = OnUnreachable::kRollBack;
  std::optional<Scope> scope;  // checked by ValidateScope
  std::string signed_order;    // as in Policy
};

struct IsolationRule {
  std::string id;
  IpPrefix remote;          // default: any
  uint16_t first_port = 0;  // 0 and 0: any port
  uint16_t last_port = 0;
  uint8_t protocol = 0;  // 0: any
  Direction direction = Direction::kAny;
  std::string description;
  absl::Time created_at;
  std::string created_by;
};

// What a sensor last reported. The three blobs are serialized bulkhead.v1 messages, opaque to domain and store;
// what the domain needs for its decisions stands beside them.
struct SensorReport {
  uint64_t number = 0;       // 1, 2, 3, … in one stream: a report that is stored late does not hide a later one
  std::string host_info;     // bulkhead.v1.HostInfo
  std::string capabilities;  // bulkhead.v1.Capabilities
  std::string observed;      // bulkhead.v1.ObservedState
  std::string boot_id;
  uint64_t observed_generation = 0;
  std::string observed_digest;  // 32 bytes, or empty
  std::vector<std::string> degraded;
  std::vector<std::string> critical;
  bool receipt_complete = true;  // no wall is in force, or everything that proves it was tried
  std::string failed_probe;      // the first that shows that the wall is not there as ordered; empty: none
  std::string refused_policy;    // the first that the sensor refused alone, with the reason; empty: none
  Tier containment_tier = Tier::kUnknown;
  Tier isolation_tier = Tier::kUnknown;
  Tier block_binary_tier = Tier::kUnknown;
  Tier allow_list_tier = Tier::kUnknown;

  friend bool operator==(const SensorReport&, const SensorReport&) = default;
};

struct Sensor {
  std::string id;
  std::string name;
  Trust trust = Trust::kTrusted;
  bool disabled = false;
  uint64_t desired_generation = 1;
  std::string desired_digest;  // 32 bytes
  SensorReport report;
  std::optional<absl::Time> observed_at;
  uint64_t failed_generation = 0;  // last generation that the sensor refused; 0: none
  std::string failed_reason;
  bool connected = false;  // a replica whose lease lasts holds its stream
  std::optional<absl::Time> last_heartbeat_at;
  absl::Time enrolled_at;
  std::optional<absl::Time> certificate_not_after;
  std::string etag;
  std::vector<Policy> policies;  // ordered for it, oldest first
  Labels labels;
  std::optional<absl::Time> clone_suspected_at;  // two hosts seem to share its identity
  std::string clone_reason;
  bool maybe_changed = true;  // since the moment that was asked about, when one was; false is certain

  // The policy of a template that is about `scope` exactly, or null.
  const Policy* Find(PolicyTemplate wanted, const std::optional<Scope>& scope = std::nullopt) const {
    for (const Policy& policy : policies) {
      if (policy.policy_template == wanted && policy.scope == scope) return &policy;
    }
    return nullptr;
  }
};

// A complete snapshot for one sensor; see bulkhead.v1.DesiredState.
struct DesiredState {
  std::string sensor_id;
  uint64_t generation = 0;
  std::string digest;
  std::vector<Policy> policies;
  std::vector<IsolationRule> isolation_rules;
  std::vector<std::string> signed_releases;  // bulkhead.v1.SignedOrder each
};

// A stream's claim on its sensor: the epoch that the database gave it. Every write that a stream makes carries it, and
// is refused (StreamSuperseded) once a newer stream of the sensor, at any replica, was given a higher one.
struct Ownership {
  std::string sensor_id;
  int64_t epoch = 0;
};

// What is ordered for a sensor, at a glance: enough to tell whether there is something to send.
struct OrderedState {
  Trust trust = Trust::kTrusted;
  uint64_t generation = 0;
  std::string digest;          // 32 bytes
  bool open_commands = false;  // some command has no result yet
};

// One row of a replica's sweep over the streams that it holds.
struct HeldStream {
  Ownership owner;
  Trust trust = Trust::kTrusted;
  uint64_t generation = 0;       // desired
  bool queued_commands = false;  // some command was not sent yet
};

struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time_ticks = 0;
  std::string boot_id;
  std::string executable;
  absl::Time not_started_after;
};

// A file that processes run: by path, by content or both.
struct RunningFile {
  std::string path;    // absolute, or empty
  std::string sha256;  // 32 bytes, or empty
};

struct CommandResult {
  CommandOutcome outcome = CommandOutcome::kUnknown;
  std::string found;
  std::string message;
  // Kill of several: the bulkhead.v1.KillGroupResult, serialized, opaque to domain and store.
  std::string evidence = {};
};

struct Command {
  std::string id;
  std::string sensor_id;
  CommandKind kind = CommandKind::kKillProcess;
  ProcessIdentity process;      // kKillProcess; the root of kKillTree
  RunningFile file;             // kKillFile
  Scope scope;                  // kKillScope
  absl::Duration guard_down;    // kLowerGuard; whole seconds
  std::string guard_code_hash;  // kSetGuardCode; 32 bytes
  absl::Time created_at;
  absl::Time not_after;
  CommandState state = CommandState::kQueued;
  std::optional<CommandResult> result;
  std::string created_by;
  std::optional<absl::Time> finished_at;
  std::string signed_order = {};  // bulkhead.v1.SignedOrder, opaque to domain and store; empty: it was not signed
};

struct EnrollmentToken {
  std::string id;
  std::string label;
  TokenState state = TokenState::kActive;
  absl::Time created_at;
  std::string created_by;
  absl::Time expires_at;
  std::string used_by_sensor_id;  // the last
  std::string reenroll_sensor_id;
  Labels sensor_labels;  // that a new sensor starts with
  uint32_t max_uses = 1;
  uint32_t uses = 0;
  std::vector<IpPrefix> allowed_networks;  // empty: from anywhere
};

// One enrollment with a token.
struct EnrollmentTokenUse {
  uint32_t number = 0;  // 1, 2, 3, …; given by the store
  std::string sensor_id;
  std::string sensor_name;  // at that time
  absl::Time used_at = {};
  std::string address;  // numeric, without port; empty: from before addresses were recorded
};

struct AuditRecord {
  uint64_t sequence = 0;
  absl::Time time;
  std::string actor;
  std::string action;
  std::string target;
  std::string request_id;
  std::string outcome;
  std::string details_json;
  std::string hash;  // 32 bytes
};

struct Operator {
  std::string name;
  std::string role;  // "viewer", "operator", "admin", or the name of a Role
  bool disabled = false;
  std::vector<std::string> permissions = {};  // of a role that is not built in
  absl::Time created_at = {};
};

// A role that an admin defined.
struct Role {
  std::string name;
  std::vector<std::string> permissions;  // sorted, each once
  std::string created_by;
  absl::Time created_at;
};

// One certificate that was issued to a sensor.
struct SensorCertificate {
  std::string serial_hex;
  std::string sensor_id;
  std::string fingerprint_hex;  // SHA-256 of the DER
  absl::Time not_before;
  absl::Time not_after;
  std::string issuer_hex = {};           // of its root; empty: issued before roots were recorded
  std::string trust_bundle_digest = {};  // of the roots that were sent with it; empty as above
  bool revoked = false;
  bool used = false;        // some call was made with it
  bool superseded = false;  // a certificate that was issued later was used
};

// A root as everybody may know it.
struct PublicRoot {
  std::string fingerprint_hex;  // SHA-256 of the DER
  std::string certificate_pem;
  // The root's key in a certificate signed by the root before it: the proof that it follows that one. Empty: the first.
  std::string cross_pem;
  bool retired = false;  // what it issued is not accepted any more
  bool sent = true;      // owners of certificates are told to trust it

  friend bool operator==(const PublicRoot&, const PublicRoot&) = default;
};

// What a replica says about its part in a rotation, and what keeps a rotation from being finished.
struct ReplicaStanding {
  std::string name;
  std::string issuer_hex;  // root that it issues to clients with; empty: not told yet
};
struct RotationProgress {
  std::vector<std::string>
      sensors;  // names of those that have no certificate of the new root, or have not confirmed it
  std::vector<std::string> operators;     // names of those that have none, and are not disabled
  std::vector<ReplicaStanding> replicas;  // that live
};

// Who gives an order and with which safeguards; the same for every order.
struct OrderContext {
  std::string actor;         // operator's name
  std::string request_id;    // empty: not repeatable
  std::string reason;        // for the audit log
  std::string etag;          // empty: not checked
  std::string call_id = {};  // x-request-id of the call that gives it, for the audit log
  // bulkhead.v1.SignedOrder that a command or a policy is made from; empty: it was not signed.
  std::string signed_order = {};
  absl::Time signed_until = absl::InfiniteFuture();  // when that expires
};

}  // namespace bulkhead::controlplane
