// The control plane: every part, made in the order of its dependencies, run until a signal, and taken down in reverse.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/order_keys.h"
#include "common/pause.h"
#include "common/uuid.h"
#include "controlplane/api/watch_hub.h"
#include "controlplane/app/database.h"
#include "controlplane/app/database_clock.h"
#include "controlplane/app/fleet_reader.h"
#include "controlplane/app/grpc_server.h"
#include "controlplane/app/health_monitor.h"
#include "controlplane/app/options.h"
#include "controlplane/app/rollout_driver.h"
#include "controlplane/app/server_certificate.h"
#include "controlplane/link/sensor_hub.h"
#include "controlplane/metrics/metrics.h"
#include "controlplane/metrics/monitoring_server.h"
#include "controlplane/pki/pki.h"
#include "controlplane/rpc/gate.h"
#include "controlplane/rpc/method_table.h"
#include "controlplane/rpc/peer_limiter.h"
#include "controlplane/rpc/worker_pool.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

class Server {
 public:
  // Everything that can fail at start fails here. The server listens when it returns.
  static absl::StatusOr<std::unique_ptr<Server>> Create(const Options& options);
  ~Server();

  // Does the periodic work until SIGTERM or SIGINT, which the caller has blocked in every thread; then says goodbye to
  // the sensors.
  absl::Status Run();

  // Ends everything in bounded time. Called by Run and the destructor; may be called again.
  void Stop();

  // What has to be done every few seconds and must not wait for a standby of the database: lease, roots, certificates.
  // Called by Run.
  void Maintain();

  // Sensor streams that are open.
  size_t streams() const { return sensors_->size(); }
  const std::vector<uint16_t>& ports() const { return grpc_->ports(); }
  // Of /metrics; 0 when it is not served.
  uint16_t metrics_port() const { return monitoring_ ? monitoring_->port() : 0; }

 private:
  explicit Server(const Options& options);
  absl::Status OpenStore();
  // Takes over the roots that the fleet agreed on, and the keys that were copied here meanwhile.
  absl::Status FollowAuthority();
  absl::Status BuildServices();
  absl::Status StartMonitoring();
  void AddSampledMetrics();
  // When the certificates run out; the CA's may be replaced while this runs.
  void ShowCertificates();
  void OnChange(const std::string& changed) ABSL_LOCKS_EXCLUDED(fan_out_mutex_);
  // Renews the lease, and the clock with it.
  absl::Status Renew();
  // The lease, and whether the database is what this program needs.
  absl::Status CheckDatabase();
  // The thread of what may have to wait for a standby of the database; the lease must not.
  void KeepHouse();

  const Options options_;
  DatabaseClock clock_;
  const std::string run_id_ = NewUuid();  // of this run of the replica; what holds its streams in the database
  Metrics metrics_;
  std::optional<OrderKeys> order_keys_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<CertificateAuthority> authority_;
  std::unique_ptr<ServerCertificate> certificate_;
  // Apart, so that a storm of reconnecting sensors does not make an operator's order wait.
  WorkerPool order_workers_;
  WorkerPool sensor_workers_;
  std::unique_ptr<WatchHub> watches_;
  std::unique_ptr<RolloutDriver> rollouts_;
  std::unique_ptr<SensorHub> sensors_;
  MethodTable methods_;
  std::unique_ptr<PeerLimiter> limiter_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<HealthMonitor> health_;
  std::unique_ptr<FleetReader> fleet_reader_;
  std::unique_ptr<MonitoringServer> monitoring_;

  absl::Mutex fan_out_mutex_;
  bool fan_out_ ABSL_GUARDED_BY(fan_out_mutex_) = false;
  std::vector<PublicRoot> roots_;
  // All replicas accept what the newest root issues, so this one may issue from it.
  bool newest_root_may_issue_ = false;
  bool stopped_ = false;
  Pause house_pause_;
  std::thread housekeeper_;
};

}  // namespace bulkhead::controlplane
