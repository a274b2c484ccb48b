// Composition, the periodic work, and shutdown.
#include "controlplane/app/server.h"

#include <csignal>
#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/v1/access_service.pb.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/certificate_service.pb.h"
#include "bulkhead/v1/enrollment.pb.h"
#include "bulkhead/v1/event_service.pb.h"
#include "bulkhead/v1/order_approval_service.pb.h"
#include "bulkhead/v1/policy_service.pb.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "bulkhead/v1/sensor_link.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/api/api_context.h"
#include "controlplane/api/rollout_order.h"
#include "controlplane/app/stored_roots.h"
#include "controlplane/app/systemd_notify.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane {
namespace {

// Half of the database's connections each.
constexpr int kWorkers = 4;
constexpr size_t kMaxWaitingCalls = 1024;
// A stream waits at most once, so this is more than there can be streams.
constexpr size_t kMaxWaitingStreams = 1 << 20;
// Longer than a renewal that has to wait for a connection to the database, shorter than an operator waits for the
// truth.
constexpr absl::Duration kReplicaLease = absl::Seconds(20);
constexpr absl::Duration kMaintenanceInterval = absl::Seconds(5);
constexpr absl::Duration kSweepInterval = absl::Minutes(1);
constexpr absl::Duration kGoodbyeTime = absl::Seconds(2);
constexpr absl::Duration kCallGrace = absl::Seconds(3);

// Every service that is served; a service added to the protos and not here is found missing by a test.
std::vector<const google::protobuf::ServiceDescriptor*> ServedServices() {
  std::vector<const google::protobuf::ServiceDescriptor*> services;
  for (const google::protobuf::FileDescriptor* file :
       {v1::ListSensorsRequest::descriptor()->file(), v1::ListEnforcementPoliciesRequest::descriptor()->file(),
        v1::EnrollRequest::descriptor()->file(), v1::GetTrustBundleRequest::descriptor()->file(),
        v1::Role::descriptor()->file(), v1::ListAuditRecordsRequest::descriptor()->file(),
        v1::Hello::descriptor()->file(), v1::Rollout::descriptor()->file(), v1::StoredEvent::descriptor()->file(),
        v1::OrderProposal::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) services.push_back(file->service(i));
  }
  return services;
}

}  // namespace

Server::Server(const Options& options)
    : options_(options), order_workers_(kWorkers, kMaxWaitingCalls), sensor_workers_(kWorkers, kMaxWaitingStreams) {}

Server::~Server() {
  Stop();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const Options& options) {
  std::unique_ptr<Server> server(new Server(options));
  ASSIGN_OR_RETURN(server->authority_, CertificateAuthority::Open(CaDirectory(options)));
  if (!options.order_keys.empty()) {
    ASSIGN_OR_RETURN(server->order_keys_, OrderKeys::Load(options.order_keys));
  }
  RETURN_IF_ERROR(server->OpenStore());
  RETURN_IF_ERROR(server->FollowAuthority());
  ASSIGN_OR_RETURN(server->certificate_,
                   ServerCertificate::Create(server->authority_.get(), &server->clock_,
                                             absl::StrCat(options.state_directory, "/tls"), options.server_names));
  RETURN_IF_ERROR(server->BuildServices());
  RETURN_IF_ERROR(server->StartMonitoring());
  return server;
}

absl::Status Server::OpenStore() {
  ASSIGN_OR_RETURN(database_, Database::Start(options_.postgres));
  Store::Options store_options;
  store_options.connection_string = database_->connection_string();
  store_options.listen_connection_string = options_.postgres_listen;
  store_options.timeline_file = TimelineFile(options_);
  // Five more: the lease is renewed, rollouts go on, heartbeats are stored, what is over is ended and monitoring sees,
  // however busy the workers are.
  store_options.pool_size = 2 * kWorkers + 5;
  store_options.observer = &metrics_;
  ASSIGN_OR_RETURN(store_, Store::Open(store_options));
  return Renew();
}

absl::Status Server::Renew() {
  ASSIGN_OR_RETURN(const absl::Time now, store_->RenewReplica(run_id_, options_.replica_id, kReplicaLease));
  clock_.Set(now);
  return absl::OkStatus();
}

absl::Status Server::FollowAuthority() {
  ASSIGN_OR_RETURN(std::vector<PublicRoot> roots, ReadRoots(*store_));
  if (roots != roots_) newest_root_may_issue_ = false;
  RETURN_IF_ERROR(authority_->Follow(roots, newest_root_may_issue_));
  roots_ = std::move(roots);
  const auto now = authority_->standing();
  ASSIGN_OR_RETURN(const bool everybody, store_->ReportAuthority(run_id_, now->trust_bundle_digest, now->issuer_hex));
  // For good: a replica that starts and has not told yet does not set everybody back.
  if (!everybody || newest_root_may_issue_) return absl::OkStatus();
  newest_root_may_issue_ = true;
  return authority_->Follow(roots_, newest_root_may_issue_);
}

absl::Status Server::BuildServices() {
  const ApiContext api{.store = store_.get(),
                       .authority = authority_.get(),
                       .clock = &clock_,
                       .workers = &order_workers_,
                       .heartbeat_interval = options_.heartbeat_interval,
                       .certificate_life = options_.sensor_certificate_life,
                       .order_keys = order_keys_ ? &*order_keys_ : nullptr};
  AddApiMethods(api, methods_);
  watches_ = std::make_unique<WatchHub>(api);
  watches_->AddMethods(methods_);
  sensors_ = std::make_unique<SensorHub>(
      LinkContext{.store = store_.get(),
                  .authority = authority_.get(),
                  .clock = &clock_,
                  .workers = &sensor_workers_,
                  .replica_id = options_.replica_id,
                  .run_id = run_id_,
                  .heartbeat_interval = options_.heartbeat_interval,
                  .certificate_life = options_.sensor_certificate_life,
                  .max_stream_age = options_.max_stream_age,
                  .max_streams = static_cast<size_t>(options_.max_streams),
                  .event_limit = static_cast<uint64_t>(options_.event_limit),
                  .on_report = [this](const std::string& sensor_id) { watches_->OnChange(sensor_id); },
                  .on_events = [this] { watches_->OnChange(kEventsChange); },
                  .observer = &metrics_});
  sensors_->AddMethods(methods_);
  rollouts_ = std::make_unique<RolloutDriver>(store_.get(), RolloutOrdererFor(api));
  limiter_ = std::make_unique<PeerLimiter>(PeerLimiter::Limits{
      .calls_per_second = static_cast<double>(options_.peer_call_rate), .calls_at_once = options_.peer_calls});
  gate_ = std::make_unique<Gate>(store_.get(), authority_.get(), &clock_);

  std::vector<std::unique_ptr<RpcService>> services;
  for (const google::protobuf::ServiceDescriptor* descriptor : ServedServices()) {
    ASSIGN_OR_RETURN(services.emplace_back(), RpcService::Create(*descriptor, methods_, *gate_, *limiter_, &metrics_));
  }
  {
    absl::MutexLock lock(&fan_out_mutex_);
    fan_out_ = true;
  }
  RETURN_IF_ERROR(store_->Listen([this](const std::string& changed) { OnChange(changed); }));
  ASSIGN_OR_RETURN(grpc_, GrpcServer::Create(
                              {.listen = options_.listen,
                               .admission = {.rate = static_cast<double>(options_.accept_rate),
                                             .rate_per_address = static_cast<double>(options_.accept_rate_per_address)},
                               .key_path = certificate_->key_path(),
                               .certificate_path = certificate_->certificate_path(),
                               .on_admission = [this](bool admitted) { metrics_.OnConnection(admitted); }},
                              std::move(services)));
  return absl::OkStatus();
}

absl::Status Server::StartMonitoring() {
  health_ = std::make_unique<HealthMonitor>([this](bool ready) { grpc_->SetServing(ready); });
  health_->DatabaseAnswered(absl::OkStatus());  // it was migrated a moment ago
  health_->Start();
  if (options_.metrics_listen.empty()) return absl::OkStatus();
  ShowCertificates();
  AddSampledMetrics();
  fleet_reader_ = std::make_unique<FleetReader>(store_.get(), &metrics_, &clock_, options_.heartbeat_interval);
  ASSIGN_OR_RETURN(monitoring_,
                   MonitoringServer::Start(options_.metrics_listen, {.metrics = [this] { return metrics_.Text(); },
                                                                     .ready = [this] { return health_->Look(); }}));
  LogInfo("monitoring listens", {{"port", monitoring_->port()}});
  return absl::OkStatus();
}

void Server::ShowCertificates() {
  metrics_.SetCertificateExpiry("server", certificate_->not_after());
  if (const auto first = FirstExpiry(authority_->trust_bundle_pem()); first.ok()) {
    metrics_.SetCertificateExpiry("ca", *first);
  }
}

void Server::AddSampledMetrics() {
  metrics_.AddSampled("bulkhead_build_info", "The version of this program.", {{"version", BULKHEAD_VERSION}},
                      [] { return 1.0; });
  metrics_.AddSampled("bulkhead_ready", "1 while this replica should get work, as /readyz says.", {},
                      [this] { return health_->Look().first ? 1.0 : 0.0; });
  metrics_.AddSampled("bulkhead_sensor_streams", "Sensor streams open at this replica.", {},
                      [this] { return static_cast<double>(sensors_->size()); });
  metrics_.AddSampled("bulkhead_sensor_messages_queued", "Messages that wait to be written to sensors.", {},
                      [this] { return static_cast<double>(sensors_->queued()); });
  metrics_.AddSampled("bulkhead_watches", "Watches of operators that are open.", {},
                      [this] { return static_cast<double>(watches_->size()); });
  for (const auto& [name, pool] : {std::pair("orders", &order_workers_), std::pair("sensors", &sensor_workers_)}) {
    metrics_.AddSampled("bulkhead_worker_queue", "Work that waits for a thread.", {{"pool", name}},
                        [workers = pool] { return static_cast<double>(workers->waiting()); });
  }
  constexpr char kConnections[] = "Connections to the database: lent, idle, and how many there may be.";
  metrics_.AddSampled("bulkhead_database_connections", kConnections, {{"state", "lent"}},
                      [this] { return static_cast<double>(store_->Pool().lent); });
  metrics_.AddSampled("bulkhead_database_connections", kConnections, {{"state", "idle"}},
                      [this] { return static_cast<double>(store_->Pool().idle); });
  metrics_.AddSampled("bulkhead_database_connections", kConnections, {{"state", "max"}},
                      [this] { return static_cast<double>(store_->Pool().size); });
}

void Server::OnChange(const std::string& changed) {
  absl::MutexLock lock(&fan_out_mutex_);
  if (!fan_out_) return;
  const bool is_rollout = absl::StartsWith(changed, kRolloutChange);
  if (is_rollout || changed.empty()) rollouts_->Wake();
  if (!is_rollout) sensors_->OnChange(changed);
  watches_->OnChange(changed);
}

absl::Status Server::Run() {
  for (const uint16_t port : ports())
    LogInfo("control plane listens", {{"port", port}, {"replica", options_.replica_id}});
  NotifySystemd("READY=1");
  housekeeper_ = std::thread([this] { KeepHouse(); });
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  const timespec interval = absl::ToTimespec(kMaintenanceInterval);
  while (true) {
    Maintain();
    const int signal = sigtimedwait(&ends, nullptr, &interval);
    if (signal > 0) break;
    if (errno != EAGAIN && errno != EINTR) return ErrnoToStatus(errno, "waiting for a signal");
  }
  LogInfo("control plane shuts down");
  NotifySystemd("STOPPING=1");
  Stop();
  return absl::OkStatus();
}

absl::Status Server::CheckDatabase() {
  RETURN_IF_ERROR(Renew());
  return store_->CheckSchema();
}

void Server::Maintain() {
  const absl::Status database = CheckDatabase();
  health_->DatabaseAnswered(database);
  if (!database.ok()) return LogError("database is not usable", {{"error", database.ToString()}});
  if (const absl::Status followed = FollowAuthority(); !followed.ok()) {
    LogError("roots of the certificate authority not followed", {{"error", followed.ToString()}});
  }
  if (const auto renewed = certificate_->RenewIfDue(); !renewed.ok()) {
    LogError("server certificate not renewed", {{"error", renewed.status().ToString()}});
  }
  if (monitoring_) ShowCertificates();
}

void Server::KeepHouse() {
  absl::Time next_sweep = absl::InfinitePast();
  do {
    if (const auto ended = orders::EndExpiredPolicies(*store_, clock_.Now()); !ended.ok()) {
      LogError("expired policies not ended", {{"error", ended.status().ToString()}});
    }
    if (const auto suspected = orders::SuspectClones(*store_); !suspected.ok()) {
      LogError("clones not looked for", {{"error", suspected.status().ToString()}});
    } else if (*suspected > 0) {
      LogWarning("identities seem to be on two hosts each", {{"sensors", *suspected}});
    }
    if (clock_.Now() < next_sweep) continue;
    next_sweep = clock_.Now() + kSweepInterval;
    if (const auto swept = store_->Sweep(); !swept.ok()) {
      LogError("old rows not deleted", {{"error", swept.status().ToString()}});
    }
    // By this machine's clock, beside the database's: no clock alone can have records removed.
    const Retention keep{.heartbeats = options_.heartbeat_retention, .events = options_.event_retention};
    if (const auto kept = store_->KeepPartitions(keep, absl::Now()); !kept.ok()) {
      LogWarning("partitions not made or dropped; the next minute tries again", {{"error", kept.status().ToString()}});
    }
  } while (house_pause_.For(kMaintenanceInterval));
}

void Server::Stop() {
  if (std::exchange(stopped_, true)) return;
  {
    absl::MutexLock lock(&fan_out_mutex_);
    fan_out_ = false;
  }
  // Before anybody is sent away, so that load balancers and those who watch do not send them back here.
  if (health_) health_->Stop();
  if (fleet_reader_) fleet_reader_->Stop();
  if (rollouts_) rollouts_->Stop();
  if (sensors_) sensors_->Shutdown(kGoodbyeTime);
  if (watches_) watches_->Shutdown();
  if (grpc_) grpc_->Shutdown(kCallGrace);
  // After gRPC, whose last calls still leave work here; before the hubs and the store, which that work uses.
  order_workers_.Stop();
  sensor_workers_.Stop();
  // Last, so that /readyz says what goes on for as long as there is somebody to say it.
  monitoring_.reset();
  house_pause_.Stop();
  if (housekeeper_.joinable()) housekeeper_.join();
  if (!store_) return;
  if (const absl::Status ended = store_->EndReplica(run_id_); !ended.ok()) {
    LogWarning("lease not ended; it ends by itself", {{"error", ended.ToString()}});
  }
}

}  // namespace bulkhead::controlplane
