// The whole of Bulkhead as a user would run it: PostgreSQL, the control plane, a sensor, the command line.
#pragma once

#include <memory>
#include <string>

#include "bulkhead/v1/command.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "e2e/postgres.h"
#include "e2e/process.h"
#include "e2e/sandbox.h"

namespace bulkhead::e2e {

// Knows only the programs and the protocol. One for all cases of a test program: starting it takes seconds. Each case
// leaves the sensor released, trusted and connected. Not thread safe.
class System {
 public:
  // The one system; made at first use, removed when the program ends. Throws when it does not come up.
  static System& Get();
  ~System();

  // bulkheadctl as an operator of the role: "admin", "operator" or "viewer".
  Result As(const std::string& role, const Arguments& arguments) const;
  Result Ctl(const Arguments& arguments) const { return As("operator", arguments); }

  // bulkhead-controlplane on the control plane's machine, to its end.
  Result OnControlPlane(const Arguments& arguments) const;

  // What the control plane says about the sensor.
  v1::Sensor GetSensor() const;
  // Waits until the sensor is connected and its kernel has what was ordered.
  bool Converged() const;
  // Lifts everything that a case may have left.
  void Reset();

  Sandbox& sandbox() { return *sandbox_; }
  const std::string& directory() const { return directory_; }
  std::string control_plane_directory() const { return directory_ + "/control_plane"; }
  std::string database_url() const { return postgres_->url(); }
  std::string sensor_directory() const { return directory_ + "/sensor"; }
  const std::string& server() const { return server_; }
  // Of the control plane's /metrics, on the loopback.
  uint16_t metrics_port() const { return metrics_port_; }
  std::string Identity(const std::string& role) const { return directory_ + "/" + role; }

  // The ends of the programs' logs, for the report of a failure.
  std::string Logs() const;

  Daemon& postgres() { return postgres_->daemon(); }
  Daemon& control_plane() { return *control_plane_; }
  Daemon& sensor() { return *sensor_; }
  void StartPostgres() { postgres_->Start(); }
  // With further options; what ran before is stopped.
  void StartControlPlane(const Arguments& more = {});
  void StartSensor(const Arguments& more = {});
  // What a thief of the database can do; returns what psql prints.
  Result Sql(const std::string& statement) const { return postgres_->Query(statement); }

  // Makes a token and enrolls the sensor; `restore` for one that was revoked.
  void Enroll(bool restore);
  Result EnrollWith(const std::string& secret, const std::string& name, const std::string& state) const;

  static constexpr char kSensor[] = "e2e";

 private:
  System();
  void Fail(const std::string& what) const;
  Arguments ControlPlane(const Arguments& arguments) const;

  std::string directory_;
  std::string server_;
  const uint16_t metrics_port_ = static_cast<uint16_t>(FreePort());
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<Postgres> postgres_;
  std::unique_ptr<Daemon> control_plane_;
  std::unique_ptr<Daemon> sensor_;
};

}  // namespace bulkhead::e2e
