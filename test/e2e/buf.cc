// A gRPC client that is not ours: buf curl, which learns the API from server reflection.
#include "e2e/buf.h"

#include <stdexcept>

namespace bulkhead::e2e {
namespace {

// Only operators may ask for reflection, so a sensor's calls take the schema from the sources.
Result Call(const System& system, const std::string& cert, const std::string& key, const Arguments& schema,
            const std::string& method, const std::string& json) {
  Arguments command = {BULKHEAD_BUF, "curl", "--protocol", "grpc", "--cacert", system.Identity("admin") + "/ca.pem",
                       "--cert",     cert,   "--key",      key,    "--data",   "@-"};
  command.insert(command.end(), schema.begin(), schema.end());
  command.push_back("https://" + system.server() + "/bulkhead.v1." + method);
  const Result result = Run(command, json);
  if (result.exit_code == 127)
    throw std::runtime_error(std::string(BULKHEAD_BUF) + " is not there; test/run.sh installs it");
  return result;
}

}  // namespace

Result BufCurl(const System& system, const std::string& role, const std::string& method, const std::string& json) {
  return Call(system, system.Identity(role) + "/cert.pem", system.Identity(role) + "/key.pem", {}, method, json);
}

Result BufCurlAsSensor(const System& system, const std::string& method, const std::string& json) {
  const std::string identity = system.sensor_directory() + "/identity";
  return Call(system, identity + "/chain.pem", identity + "/key.pem", {"--schema", BULKHEAD_PROTOS}, method, json);
}

}  // namespace bulkhead::e2e
