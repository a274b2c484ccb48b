// What is told of every call, for whoever counts them.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace bulkhead::controlplane {

// A call that is over.
struct EndedCall {
  const std::string& path;    // "/bulkhead.v1.SensorService/GetSensor"; one of those that are served
  bool stream = false;        // else unary
  bool admitted = false;      // false: the caller, or a stream of it, was refused at the door
  const std::string& code;    // gRPC's word for its status: "OK", "NOT_FOUND"
  const std::string& reason;  // ErrorInfo.reason; the code when there is none. One of a bounded set
  absl::Duration duration;
};

// Called from gRPC's threads: must not block.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void OnCallStarted(const std::string& path, bool stream) = 0;
  virtual void OnCallEnded(const EndedCall& call) = 0;
};

}  // namespace bulkhead::controlplane
