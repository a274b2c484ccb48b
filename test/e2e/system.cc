// The whole of Bulkhead as a user would run it: PostgreSQL, the control plane, a sensor, the command line.
#include "e2e/system.h"

#include <google/protobuf/util/json_util.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace bulkhead::e2e {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(60);

}  // namespace

System& System::Get() {
  static System system;
  return system;
}

std::string System::Logs() const {
  std::string text;
  for (const char* log : {"postgres.log", "control_plane.log", "sensor.log"}) {
    std::ifstream file(directory_ + "/" + log);
    const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    text += std::string("\n== ") + log + "\n" + content.substr(content.size() > 3000 ? content.size() - 3000 : 0);
  }
  return text;
}

void System::Fail(const std::string& what) const {
  throw std::runtime_error(what + Logs());
}

System::System() : directory_(MakeTempDirectory()) {
  sandbox_ = std::make_unique<Sandbox>(directory_);
  postgres_ = std::make_unique<Postgres>(directory_);
  server_ = "127.0.0.1:" + std::to_string(FreePort());
  if (OnControlPlane({"init"}).exit_code != 0) Fail("making the CA failed");
  StartControlPlane();
  for (const std::string role : {"admin", "operator", "viewer"}) {
    const Result issued = OnControlPlane(
        {"issue-operator", "--name", role, "--role", role, "--out", Identity(role), "--server", server_});
    if (issued.exit_code != 0) Fail("issuing the " + role + " failed: " + issued.err);
  }
  Enroll(false);
  StartSensor();
  if (!Eventually(kStartLimit, [this] { return GetSensor().connected(); })) Fail("the sensor did not connect");
}

System::~System() {
  sensor_.reset();
  Run({Program("bulkhead-sensor"), "uninstall", "--force", "--state", sensor_directory(), "--scope",
       sandbox_->cgroup()});
  control_plane_.reset();
  postgres_.reset();
  sandbox_.reset();
  std::filesystem::remove_all(directory_);
}

Arguments System::ControlPlane(const Arguments& arguments) const {
  Arguments whole = {Program("bulkhead-controlplane")};
  whole.insert(whole.end(), arguments.begin(), arguments.end());
  whole.insert(whole.end(), {"--state", control_plane_directory(), "--postgres=" + database_url()});
  return whole;
}

Result System::OnControlPlane(const Arguments& arguments) const {
  return Run(ControlPlane(arguments));
}

void System::StartControlPlane(const Arguments& more) {
  Arguments serve = {"serve",
                     "--listen",
                     server_,
                     "--server-name",
                     "127.0.0.1",
                     "--heartbeat-interval",
                     "1s",
                     "--metrics-listen",
                     "127.0.0.1:" + std::to_string(metrics_port_)};
  serve.insert(serve.end(), more.begin(), more.end());
  control_plane_.reset();
  control_plane_ = std::make_unique<Daemon>(ControlPlane(serve), directory_ + "/control_plane.log");
  const std::string port = server_.substr(server_.find(':') + 1);
  const auto listens = [&] { return Run({"ss", "-Hltn", "sport = :" + port}).out.size() > 1; };
  if (!Eventually(kStartLimit, listens)) Fail("the control plane does not listen");
}

void System::StartSensor(const Arguments& more) {
  Arguments run = {Program("bulkhead-sensor"), "run", "--state", sensor_directory(), "--scope", sandbox_->cgroup()};
  run.insert(run.end(), more.begin(), more.end());
  sensor_.reset();
  sensor_ = std::make_unique<Daemon>(run, directory_ + "/sensor.log");
}

Result System::EnrollWith(const std::string& secret, const std::string& name, const std::string& state) const {
  return Run({Program("bulkhead-sensor"), "enroll", "--control-plane", server_, "--ca", Identity("admin") + "/ca.pem",
              "--token", secret, "--name", name, "--state", state, "--force"});
}

void System::Enroll(bool restore) {
  const std::string file = directory_ + "/token";
  Arguments create = {"token", "create", "--secret-file", file};
  if (restore) create.insert(create.end(), {"--reenroll", kSensor});
  const Result token = As("admin", create);
  if (token.exit_code != 0) Fail("making a token failed: " + token.err);
  std::ifstream secret_file(file);
  std::string secret;
  secret_file >> secret;
  const Result enrolled = EnrollWith(secret, kSensor, sensor_directory());
  if (enrolled.exit_code != 0) Fail("enrolling failed: " + enrolled.err);
}

Result System::As(const std::string& role, const Arguments& arguments) const {
  Arguments whole = {Program("bulkheadctl"), "--config", Identity(role) + "/config.yaml"};
  whole.insert(whole.end(), arguments.begin(), arguments.end());
  return Run(whole);
}

v1::Sensor System::GetSensor() const {
  const Result result = Ctl({"sensor", "get", kSensor, "-o", "json"});
  v1::GetSensorResponse response;
  google::protobuf::util::JsonStringToMessage(result.out, &response);
  return response.sensor();
}

bool System::Converged() const {
  return Eventually(kStartLimit, [this] {
    const v1::Sensor sensor = GetSensor();
    return sensor.connected() && sensor.convergence() == v1::CONVERGENCE_STATE_SYNCED;
  });
}

void System::Reset() {
  if (!Converged()) Fail("the sensor is not connected or not converged");
  const Result released = Ctl({"sensor", "release", kSensor, "--wait"});
  if (released.exit_code != 0) Fail("release failed: " + released.err);
}

}  // namespace bulkhead::e2e
