// Where the control plane is and who asks: flags and configuration file to an mTLS channel.
#include "controlplane/cli/connection.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/outcome.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxMessageBytes = 64 << 20;

// The file to read, or empty when none was asked for and the default one does not exist.
std::string ConfigPath(const ConnectionOptions& flags, const GetEnv& get_env) {
  if (!flags.config.empty()) return flags.config;
  if (const char* named = get_env("BULKHEAD_CONFIG"); named != nullptr && *named != '\0') return named;
  const char* home = get_env("HOME");
  if (home == nullptr) return "";
  const std::string standard = absl::StrCat(home, "/.config/bulkhead/config.yaml");
  return access(standard.c_str(), F_OK) == 0 ? standard : "";
}

std::string RelativeTo(const std::string& file, const std::string& path) {
  const size_t slash = file.rfind('/');
  if (path.empty() || path[0] == '/' || slash == std::string::npos) return path;
  return absl::StrCat(file.substr(0, slash + 1), path);
}

// Sets each value that is still empty. Unknown keys are errors: a misspelt one must not be ignored.
absl::Status ReadConfig(const std::string& path, ConnectionOptions& options) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return UsageError(absl::StrCat("cannot read the configuration file: ", text.status().message()));
  const std::map<std::string, std::string*> keys = {
      {"server", &options.server}, {"ca", &options.ca}, {"cert", &options.cert}, {"key", &options.key}};
  try {
    const YAML::Node root = YAML::Load(*text);
    if (!root.IsMap()) return UsageError(absl::StrCat(path, ": expected the keys server, ca, cert and key"));
    for (const auto& entry : root) {
      const auto known = keys.find(entry.first.Scalar());
      if (known == keys.end() || !entry.second.IsScalar()) {
        return UsageError(absl::StrCat(path, ": key \"", entry.first.Scalar(),
                                       "\" is unknown or not a single value; expected ", "server, ca, cert and key"));
      }
      if (!known->second->empty()) continue;
      *known->second = known->first == "server" ? entry.second.Scalar() : RelativeTo(path, entry.second.Scalar());
    }
  } catch (const YAML::Exception& error) {
    return UsageError(absl::StrCat(path, ": not valid YAML: ", error.what()));
  }
  return absl::OkStatus();
}

absl::Status CheckServer(const std::string& server) {
  const size_t colon = server.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(server.substr(colon + 1), &port) || port < 1 ||
      port > 65535) {
    return UsageError(absl::StrCat("--server \"", server,
                                   "\" is not HOST:PORT; write for example bulkhead.example.org:7443 or ",
                                   "[2001:db8::1]:7443"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPem(const char* flag, const std::string& path) {
  absl::StatusOr<std::string> pem = ReadFile(path, kMaxFileBytes);
  if (!pem.ok()) return Annotate(pem.status(), absl::StrCat("reading ", flag));
  if (pem->find("-----BEGIN ") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " ", path, " is not a PEM file"));
  }
  return pem;
}

}  // namespace

absl::StatusOr<ConnectionOptions> CompleteFromFile(ConnectionOptions flags, const GetEnv& get_env) {
  const std::string path = ConfigPath(flags, get_env);
  if (!path.empty()) RETURN_IF_ERROR(ReadConfig(path, flags));
  const std::pair<const char*, const std::string*> required[] = {
      {"server", &flags.server}, {"ca", &flags.ca}, {"cert", &flags.cert}, {"key", &flags.key}};
  for (const auto& [name, value] : required) {
    if (!value->empty()) continue;
    return UsageError(absl::StrCat("no ", name, ": give --", name, ", or put \"", name, ":\" into ",
                                   path.empty()
                                       ? "a configuration file (--config FILE, BULKHEAD_CONFIG or "
                                         "~/.config/bulkhead/config.yaml); bulkhead-controlplane issue-operator "
                                         "--out DIR writes one"
                                       : path));
  }
  RETURN_IF_ERROR(CheckServer(flags.server));
  return flags;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options) {
  grpc::SslCredentialsOptions tls;
  ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem("--ca", options.ca));
  ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadPem("--cert", options.cert));
  ASSIGN_OR_RETURN(tls.pem_private_key, ReadPem("--key", options.key));
  grpc::ChannelArguments arguments;
  // A page of a thousand sensors with all they report is larger than gRPC's 4 MB.
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // An operator's proxy must not see, delay or refuse a containment order.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(options.server, grpc::SslCredentials(tls), arguments);
}

}  // namespace bulkhead::controlplane::cli
