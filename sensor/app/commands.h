// The subcommands of bulkhead-sensor other than `run`. Each prints to standard output and returns an error to show.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "sensor/app/options.h"

namespace bulkhead::sensor {

struct EnrollOptions {
  std::string control_plane;  // HOST:PORT
  std::string ca_file;        // PEM
  std::string token;          // or token_file
  std::string token_file;
  std::string name;  // empty: the host's name
  bool force = false;
};

struct LowerGuardOptions {
  std::string code;  // empty: read from standard input
  std::string duration = "10m";
};

// Makes a key, exchanges the token for a certificate and stores the identity. AlreadyExists: the host is enrolled and
// `force` is not set.
absl::Status EnrollHost(const Options& options, const EnrollOptions& enroll);

// Enforces the stored desired state and ends; for early boot. OK when nothing is stored. Internal: something is stored
// and could not be enforced; the kernel stays as it was.
absl::Status RestoreStoredState(const Options& options);

// Prints who this sensor is and what the kernel enforces: from the running sensor, or else read from the kernel.
absl::Status PrintStatus(const Options& options);

// Prints what this host can enforce, as JSON.
absl::Status PrintFeatures(const Options& options);

// Gives the tamper guard's offline code to the running sensor and prints its answer; see GiveGuardCode.
absl::Status LowerGuardByCode(const Options& options, const LowerGuardOptions& lower);

// Removes everything from the kernel. FailedPrecondition: the host is contained or isolated and `force` is not set, or
// a sensor runs.
absl::Status Uninstall(const Options& options, bool force);

}  // namespace bulkhead::sensor
