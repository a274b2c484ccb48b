// What the sensor is told to do: an options file, overridden by flags, checked before anything starts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/log.h"
#include "sensor/domain/host_port.h"

namespace bulkhead::sensor {

// As written by the operator: text, not yet checked. Empty: not given.
struct RawOptions {
  std::vector<std::string> control_planes;
  std::string state_dir;
  std::string scope;
  std::string bpffs;
  std::string policy_file;
  std::string tamper_guard;  // on, off
  std::string ring_sockets;  // kill, report
  std::string order_keys;
  std::string log_level;
  std::string log_format;
};

// Checked, with defaults filled in.
struct Options {
  std::vector<HostPort> control_planes;  // may be empty: then the one that the host was enrolled at is used
  std::string state_dir = "/var/lib/bulkhead-sensor";
  std::string scope;  // empty: the whole host
  std::string bpffs = "/sys/fs/bpf";
  std::string policy_file;        // not empty: this is enforced, and there is no control plane
  bool tamper_guard = false;      // then scope and policy_file are empty
  bool kill_ring_holders = true;  // behind a wall: who has a socket that works past it, or else they are only named
  std::string order_keys;         // not empty: orders without the signatures that this file asks for are refused
  std::string config_file;        // where this was read from; empty: nowhere. Filled in by the command line
  LogLevel log_level = LogLevel::kInfo;
  bool log_json = false;
};

// Reads an options file in YAML: control_plane (text or list), state_dir, scope, bpffs, policy_file, tamper_guard,
// ring_sockets, order_keys, log.level, log.format. NotFound: no such file. InvalidArgument: not YAML, an unknown key,
// or a value of the wrong kind; the message names file and key.
absl::StatusOr<RawOptions> ReadOptionsFile(const std::string& path);

// Values of `flags` win over those of `file`. InvalidArgument names the option, what is wrong and what would be right.
absl::StatusOr<Options> CheckOptions(const RawOptions& file, const RawOptions& flags);

}  // namespace bulkhead::sensor
