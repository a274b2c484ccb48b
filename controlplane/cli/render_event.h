// Events of sensors as text.
#pragma once

#include <string>

#include "bulkhead/v1/event_service.pb.h"

namespace bulkhead::controlplane::cli {

std::string RenderEvents(const v1::ListEventsResponse& events);
std::string RenderEventCounts(const v1::ListEventCountsResponse& counts);

// The header of RenderEventLine's lines, and one line for an event.
std::string RenderEventHeader();
std::string RenderEventLine(const v1::StoredEvent& event);

}  // namespace bulkhead::controlplane::cli
