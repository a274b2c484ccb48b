// A sensor's batch of events as the domain has it.
#pragma once

#include <string>

#include "bulkhead/v1/sensor_link.pb.h"
#include "controlplane/domain/event.h"

namespace bulkhead::controlplane {

// Texts are cut, and a time that no host can have seen is left out: an event is never refused for what it says.
// `run_id` and `run_known` are those of the stream's hello. Not checked: see ValidateEventBatch.
EventBatch BatchOf(const v1::EventBatch& batch, const std::string& run_id, bool run_known);

}  // namespace bulkhead::controlplane
