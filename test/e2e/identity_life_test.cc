// The whole life of an identity, with the real programs: a limited token, two hosts with one identity, another
// certificate authority under live streams, and the end, at two replicas.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Clock = std::chrono::steady_clock;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

std::string Value(const System& system, const std::string& sql) {
  std::string text = system.Sql(sql).out;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// A second replica on the same database, with a copy of the first one's authority.
class SecondReplica {
 public:
  explicit SecondReplica(const System& system) : state_(system.directory() + "/second_plane") {
    fs::create_directory(state_);
    CopyAuthority(system);
    daemon_ =
        std::make_unique<Daemon>(Arguments{Program("bulkhead-controlplane"), "serve", "--state", state_,
                                           "--postgres=" + system.database_url(), "--listen", server_, "--server-name",
                                           "127.0.0.1", "--replica-id", "second", "--heartbeat-interval", "1s"},
                                 log());
    const auto listens = [&] { return ReadAll(log()).find("control plane listens") != std::string::npos; };
    REQUIRE(Eventually(std::chrono::seconds(60), listens));
  }
  ~SecondReplica() {
    daemon_.reset();
    fs::remove_all(state_);
    fs::remove(log());
  }

  // What an operator does after `ca rotate-begin`: the directories that are not there yet.
  void CopyAuthority(const System& system) const {
    fs::copy(system.control_plane_directory() + "/ca", state_ + "/ca",
             fs::copy_options::recursive | fs::copy_options::skip_existing);
  }
  const std::string& server() const { return server_; }
  std::string log() const { return state_ + ".log"; }

 private:
  const std::string state_;
  const std::string server_ = "127.0.0.1:" + std::to_string(FreePort());
  std::unique_ptr<Daemon> daemon_;
};

// A machine to which a sensor's state directory was copied; a cgroup beside the sensor's stands for its kernel.
class Copy {
 public:
  explicit Copy(System& system) : state_(system.directory() + "/copy"), cgroup_(system.sandbox().cgroup() + "-copy") {
    fs::remove_all(state_);
    fs::copy(system.sensor_directory(), state_, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::create_directory(cgroup_);
    fs::remove(log());
  }
  ~Copy() {
    Stop();
    Run({Program("bulkhead-sensor"), "uninstall", "--force", "--state", state_, "--scope", cgroup_});
    std::error_code ignored;
    fs::remove(cgroup_, ignored);
    fs::remove_all(state_, ignored);
  }

  void Start() {
    daemon_ = std::make_unique<Daemon>(
        Arguments{Program("bulkhead-sensor"), "run", "--state", state_, "--scope", cgroup_}, log());
  }
  void Stop() { daemon_.reset(); }
  // Whether the control plane's word for a refusal reached it.
  bool WasTold(const std::string& reason) const {
    return Eventually(std::chrono::seconds(30), [&] { return ReadAll(log()).find(reason) != std::string::npos; });
  }

 private:
  std::string log() const { return state_ + ".log"; }

  const std::string state_;
  const std::string cgroup_;
  std::unique_ptr<Daemon> daemon_;
};

std::string MakeToken(const System& system, const Arguments& limits) {
  const std::string file = system.directory() + "/limited-token";
  Arguments create = {"token", "create", "--secret-file", file};
  create.insert(create.end(), limits.begin(), limits.end());
  const Result made = system.As("admin", create);
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  return ReadAll(file);
}

std::string IdOfNewestToken(const System& system) {
  return Value(system, "SELECT id FROM enrollment_tokens ORDER BY created_at DESC LIMIT 1");
}

// ---- Enrolling ----

TEST_CASE("a token for two hosts of one network, with labels, enrolls two of that network and no third") {
  System& system = System::Get();
  const auto enroll = [&](const std::string& secret, const std::string& name) {
    return system.EnrollWith(secret, name, system.directory() + "/" + name);
  };
  const std::string secret =
      MakeToken(system, {"--label", "rack 7", "--uses", "2", "--network", "127.0.0.0/8", "--sensor-label", "rack=7"});
  const std::string id = IdOfNewestToken(system);
  REQUIRE(enroll(secret, "rack-7-a").exit_code == 0);
  REQUIRE(enroll(secret, "rack-7-b").exit_code == 0);
  const Result third = enroll(secret, "rack-7-c");
  CHECK(third.exit_code == 1);
  CHECK_THAT(third.err, Contains("used as often as it may be"));
  CHECK_THAT(system.Ctl({"token", "uses", id}).out,
             Contains("rack-7-a") && Contains("rack-7-b") && !Contains("rack-7-c") && Contains("127.0.0.1"));
  CHECK_THAT(system.Ctl({"sensor", "get", "rack-7-b"}).out, Contains("rack=7"));

  const std::string elsewhere = MakeToken(system, {"--network", "10.7.0.0/16", "--network", "2001:db8::/32"});
  const Result stranger = enroll(elsewhere, "rack-7-c");
  CHECK(stranger.exit_code == 1);
  CHECK_THAT(stranger.err, Contains("not for hosts that come from 127.0.0.1"));
  CHECK(Value(system, "SELECT uses FROM enrollment_tokens WHERE id = '" + IdOfNewestToken(system) + "'") == "0");

  const std::string late = MakeToken(system, {"--uses", "5"});
  system.Sql(
      "UPDATE enrollment_tokens SET created_at = now() - interval '2 hours', expires_at = now() - interval "
      "'1 second' WHERE id = '" +
      IdOfNewestToken(system) + "'");
  CHECK_THAT(enroll(late, "rack-7-c").err, Contains("expired"));
  CHECK_THAT(system.Ctl({"sensor", "list"}).out, !Contains("rack-7-c"));
  for (const char* name : {"rack-7-a", "rack-7-b"}) {
    REQUIRE(system.As("admin", {"sensor", "delete", name, "--yes"}).exit_code == 0);
  }
}

// ---- Another certificate authority ----

std::string CaStatus(const System& system) {
  const Result status = system.OnControlPlane({"ca", "status"});
  INFO(status.err);
  REQUIRE(status.exit_code == 0);
  return status.out;
}

// Of the stream that the sensor has, or had last.
std::string Epoch(const System& system) {
  return Value(system,
               "SELECT session_epoch FROM sensor_reports r JOIN sensors s ON s.id = r.sensor_id WHERE s.name = 'e2e'");
}

void IssueOperators(const System& system) {
  for (const std::string role : {"admin", "operator", "viewer"}) {
    const Result issued = system.OnControlPlane({"issue-operator", "--name", role, "--role", role, "--out",
                                                 system.Identity(role), "--server", system.server()});
    INFO(issued.err);
    REQUIRE(issued.exit_code == 0);
  }
}

// The certificate of the only root that rotate-begin has made.
std::string NewRoot(const System& system) {
  for (const auto& entry : fs::directory_iterator(system.control_plane_directory() + "/ca")) {
    if (entry.is_directory()) return entry.path().string() + "/ca.pem";
  }
  FAIL("rotate-begin made no root");
  return "";
}

TEST_CASE("the certificate authority is rotated at two replicas while streams live and orders are given") {
  System& system = System::Get();
  system.Reset();
  const SecondReplica second(system);
  Copy copy(system);
  const std::string old_admin = system.directory() + "/old-admin";
  fs::copy(system.Identity("admin"), old_admin, fs::copy_options::recursive);
  std::string epoch = Epoch(system);

  const Result begun = system.OnControlPlane({"ca", "rotate-begin", "--reason", "once in ten years"});
  INFO(begun.err);
  REQUIRE(begun.exit_code == 0);
  second.CopyAuthority(system);
  const Result early = system.OnControlPlane({"ca", "rotate-finish"});
  CHECK(early.exit_code == 1);
  CHECK_THAT(early.err, Contains("e2e"));
  // Nothing waits for it: orders reach the kernel meanwhile.
  CHECK(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  // The sensor renews twice, a minute apart: when both roots are trusted, and when both replicas issue from the new
  // one.
  const bool moved = Eventually(std::chrono::seconds(150), [&] {
    return CaStatus(system).find("certificate of the current root: 0") != std::string::npos;
  });
  INFO(CaStatus(system) << system.Logs());
  REQUIRE(moved);
  CHECK(Epoch(system) == epoch);
  for (const char* role : {"admin", "operator", "viewer"}) {
    CHECK(system.As(role, {"trust", "update"}).exit_code == 0);
  }
  IssueOperators(system);

  // The renewed certificate is used for the first time: a copy of the one before is refused from then on.
  system.StartSensor();
  REQUIRE(system.Converged());
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  copy.Start();
  CHECK(copy.WasTold("CERTIFICATE_SUPERSEDED"));
  copy.Stop();

  epoch = Epoch(system);
  const Result finished = system.OnControlPlane({"ca", "rotate-finish"});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const Arguments as_before = {Program("bulkheadctl"), "--config", old_admin + "/config.yaml", "sensor", "list"};
  CHECK(Eventually(std::chrono::seconds(20), [&] { return Run(as_before).exit_code != 0; }));
  CHECK(system.Ctl({"sensor", "release", "e2e", "--wait"}).exit_code == 0);
  CHECK(system.sandbox().Out("tcp", 4));
  CHECK(Epoch(system) == epoch);

  // Who knows the new root alone is served by both, as soon as their own certificates are of it.
  for (const std::string& server : {system.server(), second.server()}) {
    INFO(server);
    CHECK(Eventually(std::chrono::seconds(40), [&] {
      return system.Ctl({"--server", server, "--ca", NewRoot(system), "sensor", "list"}).exit_code == 0;
    }));
  }
  system.StartSensor();
  REQUIRE(system.Converged());
  CHECK_THAT(system.Ctl({"audit", "list"}).out, Contains("ca_rotation_begun") && Contains("ca_rotation_finished"));
  CHECK(system.Ctl({"audit", "verify"}).exit_code == 0);
  fs::remove_all(old_admin);
}

// ---- Two hosts with one identity, and its end ----

TEST_CASE("a copied identity is found, and revoking it at one replica ends the stream at another within a second") {
  System& system = System::Get();
  system.Reset();
  const SecondReplica second(system);
  Copy copy(system);
  copy.Start();
  const bool found = Eventually(std::chrono::seconds(90), [&] { return system.GetSensor().has_clone_suspected_at(); });
  INFO(system.Logs());
  REQUIRE(found);
  const v1::Sensor suspected = system.GetSensor();
  CHECK(suspected.health() == v1::HEALTH_CRITICAL);
  CHECK_THAT(suspected.clone_reason(), Contains("take turns"));
  const Result refused = system.Ctl({"sensor", "isolate", "e2e"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Contains("two hosts seem to share the identity"));
  CHECK_THAT(system.Ctl({"audit", "list"}).out, Contains("sensor_clone_suspected"));
  copy.Stop();
  REQUIRE(Eventually(std::chrono::seconds(60), [&] { return system.GetSensor().connected(); }));

  // The stream is at the first replica, the order is given to the second.
  const std::string log = system.directory() + "/control_plane.log";
  const auto withdrawn = [&] { return ReadAll(log).find("stream ended: identity withdrawn") != std::string::npos; };
  REQUIRE_FALSE(withdrawn());
  REQUIRE(system.As("admin", {"--server", second.server(), "sensor", "revoke", "e2e", "--yes"}).exit_code == 0);
  const Clock::time_point revoked = Clock::now();
  REQUIRE(Eventually(std::chrono::seconds(5), withdrawn));
  CHECK(Clock::now() - revoked < std::chrono::seconds(1));
  CHECK(Eventually(std::chrono::seconds(5), [&] {
    return ReadAll(system.directory() + "/sensor.log").find("SENSOR_REVOKED") != std::string::npos;
  }));
  copy.Start();
  CHECK(copy.WasTold("SENSOR_REVOKED"));
  copy.Stop();

  system.sensor().Stop();
  system.Enroll(true);
  system.StartSensor();
  REQUIRE(system.Converged());
  CHECK_FALSE(system.GetSensor().has_clone_suspected_at());
  CHECK(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  system.Reset();
}

// ---- Operators ----

TEST_CASE("a role of an admin's own gives what it lists and no more, and a disabled operator is out at once") {
  System& system = System::Get();
  system.Reset();
  const Result made = system.As(
      "admin", {"role", "create", "responder", "--permission", "sensors:read", "--permission", "sensors:contain"});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  REQUIRE(system
              .OnControlPlane({"issue-operator", "--name", "rita", "--role", "responder", "--out",
                               system.Identity("rita"), "--server", system.server()})
              .exit_code == 0);
  CHECK(system.As("rita", {"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  CHECK(system.As("rita", {"sensor", "release", "e2e", "--wait"}).exit_code == 0);
  for (const Arguments& more :
       {Arguments{"isolation-rule", "list"}, Arguments{"audit", "list"}, Arguments{"events", "list"},
        Arguments{"sensor", "disable", "e2e"}, Arguments{"operator", "set-role", "rita", "admin"},
        Arguments{"role", "create", "x", "--permission", "sensors:read"}}) {
    const Result denied = system.As("rita", more);
    INFO(more[0] << " " << more[1] << ": " << denied.err);
    CHECK(denied.exit_code == 1);
    CHECK_THAT(denied.err, Contains("PERMISSION_DENIED") || Contains("use an operator with a higher role"));
  }
  Daemon watch({Program("bulkheadctl"), "--config", system.Identity("rita") + "/config.yaml", "sensor", "watch"},
               system.directory() + "/watch.log");
  const auto shown = [&] { return ReadAll(system.directory() + "/watch.log").find("e2e") != std::string::npos; };
  REQUIRE(Eventually(std::chrono::seconds(10), shown));
  REQUIRE(system.As("admin", {"operator", "disable", "rita", "--reason", "left"}).exit_code == 0);
  CHECK_THAT(system.As("rita", {"sensor", "list"}).err, Contains("OPERATOR_DISABLED") || Contains("disabled"));
  CHECK(Eventually(std::chrono::seconds(10), [&] { return !watch.Running(); }));
  CHECK(system.As("admin", {"operator", "disable", "admin"}).exit_code == 1);
}

// ---- The server's own certificate ----

TEST_CASE("a certificate file that somebody cuts in half ends no stream, and is replaced") {
  System& system = System::Get();
  system.Reset();
  const std::string file = system.control_plane_directory() + "/tls/current/cert.pem";
  const std::string whole = ReadAll(file);
  REQUIRE(whole.size() > 200);
  const std::string epoch = Epoch(system);
  std::ofstream(file) << whole.substr(0, whole.size() / 2);
  const auto replaced = [&] {
    const std::string now = ReadAll(file);
    return now != whole && now.find("-----END CERTIFICATE-----") != std::string::npos;
  };
  CHECK(Eventually(std::chrono::seconds(15), replaced));
  // gRPC may have read the half, and then refuses handshakes until it reads again.
  CHECK(Eventually(std::chrono::seconds(30), [&] { return system.Ctl({"sensor", "list"}).exit_code == 0; }));
  CHECK(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  CHECK(system.Ctl({"sensor", "release", "e2e", "--wait"}).exit_code == 0);
  CHECK(Epoch(system) == epoch);
}

}  // namespace
}  // namespace bulkhead::e2e
