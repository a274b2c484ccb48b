// bulkheadctl events: what the kernels of the fleet stopped, listed, followed, and how much of it is missing.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/follow_watch.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render_event.h"
#include "controlplane/cli/time_flag.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 500;

struct Flags {
  std::string sensor;
  std::string kind;
  std::string policy;
  std::string since;
  std::string until;
  std::string resume;
  int limit = 100;
};

std::string KindWords() {
  std::string words;
  for (int i = 0; i < v1::EventKind_descriptor()->value_count(); ++i) {
    const int number = v1::EventKind_descriptor()->value(i)->number();
    if (number == 0) continue;
    absl::StrAppend(&words, words.empty() ? "" : "|", Word(v1::EventKind_descriptor(), number));
  }
  return words;
}

// "exec-denied" as EXEC_DENIED; empty: all.
absl::StatusOr<v1::EventKind> KindOf(const std::string& word) {
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  if (word.empty()) return kind;
  const std::string name = absl::StrCat("EVENT_KIND_", absl::AsciiStrToUpper(absl::StrReplaceAll(word, {{"-", "_"}})));
  if (v1::EventKind_Parse(name, &kind) && kind != v1::EVENT_KIND_UNSPECIFIED) return kind;
  return UsageError(absl::StrCat("--kind: \"", word, "\" is none of ", KindWords()));
}

// The filters that a list and a watch share.
template <typename Request>
absl::Status Fill(const Session& session, const Flags& flags, Request& request) {
  ASSIGN_OR_RETURN(const v1::EventKind kind, KindOf(flags.kind));
  request.set_kind(kind);
  request.set_sensor(flags.sensor);
  request.set_policy_id(flags.policy);
  if (flags.since.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(*request.mutable_since(), TimeFromFlag("--since", flags.since, session.now()));
  return absl::OkStatus();
}

absl::Status List(Session& session, const Flags& flags) {
  v1::ListEventsRequest request;
  RETURN_IF_ERROR(Fill(session, flags, request));
  if (!flags.until.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_until(), TimeFromFlag("--until", flags.until, session.now()));
  }
  v1::ListEventsResponse all;
  do {
    request.set_page_size(std::min(kPageSize, flags.limit - all.events_size()));
    ASSIGN_OR_RETURN(const auto page, session.Call(&v1::EventService::Stub::ListEvents, request));
    all.mutable_events()->MergeFrom(page.events());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.events_size() < flags.limit);
  all.set_next_page_token(request.page_token());
  return session.Print(all, RenderEvents(all));
}

absl::Status Show(Session& session, const v1::WatchEventsResponse& change) {
  if (session.format != OutputFormat::kTable) return session.PrintChange(change);
  if (change.has_event()) session.terminal().out << RenderEventLine(change.event()) << std::flush;
  return absl::OkStatus();
}

absl::Status Watch(Session& session, const Flags& flags) {
  v1::WatchEventsRequest request;
  RETURN_IF_ERROR(Fill(session, flags, request));
  request.set_resume_token(flags.resume);
  RETURN_IF_ERROR(session.Connect());
  v1::EventService::Stub stub(session.channel());
  if (session.format == OutputFormat::kTable) session.terminal().out << RenderEventHeader() << std::flush;
  return FollowWatch<v1::WatchEventsResponse>(
      session, request,
      [&](grpc::ClientContext* context, const auto& from_there) { return stub.WatchEvents(context, from_there); },
      [&](const v1::WatchEventsResponse& change) { return Show(session, change); });
}

absl::Status Counts(Session& session, const Flags& flags) {
  v1::ListEventCountsResponse all;
  v1::ListEventCountsRequest request;
  request.set_sensor(flags.sensor);
  do {
    request.set_page_size(std::min(kPageSize, flags.limit - all.counts_size()));
    ASSIGN_OR_RETURN(const auto page, session.Call(&v1::EventService::Stub::ListEventCounts, request));
    all.mutable_counts()->MergeFrom(page.counts());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.counts_size() < flags.limit);
  return session.Print(all, RenderEventCounts(all));
}

void AddSensorFlag(CLI::App& verb, Flags& flags) {
  verb.add_option("--sensor", flags.sensor, "Only of this sensor (name or id)")->type_name("SENSOR");
}

void AddLimitFlag(CLI::App& verb, Flags& flags) {
  verb.add_option("--limit", flags.limit, "At most this many (default 100)")
      ->type_name("NUMBER")
      ->check(CLI::PositiveNumber);
}

void AddFilterFlags(CLI::App& verb, Flags& flags) {
  AddSensorFlag(verb, flags);
  verb.add_option("--kind", flags.kind, "Only of this kind")->type_name(KindWords());
  verb.add_option("--policy", flags.policy, "Only what this policy caused")->type_name("POLICY");
  verb.add_option("--since", flags.since, "Only what was stored from then on: 2h, 3d, 2026-03-15T10:00:00Z")
      ->type_name("TIME|AGE");
}

}  // namespace

void AddEventCommands(CLI::App& root, Action& action) {
  CLI::App* events = root.add_subcommand("events", "Who tried what, when, and which policy stopped it");
  events->require_subcommand(1);

  const auto list_flags = std::make_shared<Flags>();
  CLI::App* list = AddVerb(*events, action, "list", "List events, newest first",
                           "TIME is by the host's clock; -o json also has the time of storing.\n"
                           "Example: bulkheadctl events list --sensor web-1 --kind exec-denied --since 2h",
                           list_flags, List);
  AddFilterFlags(*list, *list_flags);
  list->add_option("--until", list_flags->until, "Only what was stored before then")->type_name("TIME|AGE");
  AddLimitFlag(*list, *list_flags);

  const auto watch_flags = std::make_shared<Flags>();
  CLI::App* watch = AddVerb(*events, action, "watch", "Print events as they come, until interrupted",
                            "Goes on without a gap when a replica ends. With -o json each line has a resumeToken.\n"
                            "Example: bulkheadctl events watch --since 10m",
                            watch_flags, Watch);
  AddFilterFlags(*watch, *watch_flags);
  watch->add_option("--resume", watch_flags->resume, "Go on after the answer that had this resumeToken")
      ->type_name("TOKEN");

  const auto count_flags = std::make_shared<Flags>();
  CLI::App* counts = AddVerb(*events, action, "counts", "How many events were stored, refused and lost, by day",
                             "REFUSED: beyond the control plane's --event-limit. LOST: dropped on the host.\n"
                             "Example: bulkheadctl events counts --sensor web-1",
                             count_flags, Counts);
  AddSensorFlag(*counts, *count_flags);
  AddLimitFlag(*counts, *count_flags);
}

}  // namespace bulkhead::controlplane::cli
