// Where the control plane is and who asks: flags and configuration file to an mTLS channel.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/channel.h"

namespace bulkhead::controlplane::cli {

// Everything needed to connect. Paths are absolute or relative to the working directory.
struct ConnectionOptions {
  std::string config;  // configuration file; empty: $BULKHEAD_CONFIG, then ~/.config/bulkhead/config.yaml
  std::string server;  // HOST:PORT
  std::string ca;      // PEM file: roots to trust
  std::string cert;    // PEM file: the operator's certificate, leaf first
  std::string key;     // PEM file: its key
};

// Reads an environment variable; nullptr when it is not set.
using GetEnv = std::function<const char*(const char*)>;

// Fills what no flag gave from the configuration file: YAML with the keys server, ca, cert and key; relative paths are
// relative to the file. A usage error names the file and the key, or what is still missing and how to give it.
absl::StatusOr<ConnectionOptions> CompleteFromFile(ConnectionOptions flags, const GetEnv& get_env);

// Reads the three PEM files and makes a channel; does not connect yet. Errors name the file.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options);

}  // namespace bulkhead::controlplane::cli
