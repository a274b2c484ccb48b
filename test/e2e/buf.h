// A gRPC client that is not ours: buf curl, which learns the API from server reflection.
#pragma once

#include <string>

#include "e2e/system.h"

namespace bulkhead::e2e {

// Calls bulkhead.v1.<method>, for example "SensorService/ListSensors", as an operator of the role.
Result BufCurl(const System& system, const std::string& role, const std::string& method, const std::string& json);

// The same with the sensor's certificate.
Result BufCurlAsSensor(const System& system, const std::string& method, const std::string& json);

}  // namespace bulkhead::e2e
