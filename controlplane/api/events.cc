// EventService but for its watch: list events, and what was counted of them.
#include "bulkhead/v1/event_service.pb.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/api/event_filter.h"
#include "controlplane/api/handlers.h"

namespace bulkhead::controlplane {
namespace {

absl::StatusOr<v1::ListEventsResponse> List(const ApiContext& api, const v1::ListEventsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  ASSIGN_OR_RETURN(const EventFilter filter, EventFilterOf(api, request));
  ASSIGN_OR_RETURN(const Page<StoredEvent> page, api.store->ListEvents(filter, page_size, request.page_token()));
  v1::ListEventsResponse response;
  for (const StoredEvent& event : page.items) *response.add_events() = ToProto(event);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::ListEventCountsResponse> Count(const ApiContext& api, const v1::ListEventCountsRequest& request) {
  ASSIGN_OR_RETURN(const int page_size, ValidatePageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string sensor_id, SensorIdOf(api, request.sensor()));
  ASSIGN_OR_RETURN(const Page<EventCount> page, api.store->ListEventCounts(sensor_id, page_size, request.page_token()));
  v1::ListEventCountsResponse response;
  for (const EventCount& count : page.items) {
    v1::EventCount& out = *response.add_counts();
    out.set_day(count.day);
    out.set_sensor_id(count.sensor_id);
    out.set_sensor_name(count.sensor_name);
    out.set_stored(count.stored);
    out.set_refused(count.refused);
    out.set_lost(count.lost);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

}  // namespace

void AddEventMethods(const ApiContext& api, MethodTable& table) {
  AddRead<v1::ListEventsRequest, v1::ListEventsResponse>(api, table, "/bulkhead.v1.EventService/ListEvents", List);
  AddRead<v1::ListEventCountsRequest, v1::ListEventCountsResponse>(api, table,
                                                                   "/bulkhead.v1.EventService/ListEventCounts", Count);
}

}  // namespace bulkhead::controlplane
