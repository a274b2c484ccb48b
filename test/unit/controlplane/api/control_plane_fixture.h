// The whole control plane in this process, on a database of its own, and clients of every kind that speak to it over
// mutual TLS.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "bulkhead/v1/sensor_link.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "controlplane/app/server.h"
#include "controlplane/pki/pki.h"
#include "grpcpp/channel.h"
#include "harness/key_request.h"
#include "store/database.h"

namespace bulkhead::controlplane::test {

using bulkhead::test::KeyAndRequest;
using bulkhead::test::MakeKeyAndRequest;

// What a client presents; empty: nothing.
struct ClientIdentity {
  std::string key_pem;
  std::string chain_pem;
  std::string sensor_id;  // of a sensor
};

// A fresh database, CA and server for each test; all of it goes with the object.
class ControlPlane {
 public:
  // `adjust` changes the options of every server that is started.
  explicit ControlPlane(std::function<void(Options&)> adjust = [](Options&) {});
  ~ControlPlane();

  // A channel of its own (no connection is shared) that presents `identity`.
  std::shared_ptr<grpc::Channel> Connect(const ClientIdentity& identity = {}) const;
  // The same to another replica.
  std::shared_ptr<grpc::Channel> ConnectTo(Server& replica, const ClientIdentity& identity) const;

  // A registered operator's identity.
  ClientIdentity MakeOperator(const std::string& name, const std::string& role) const;
  // A channel of a new operator with this role.
  std::shared_ptr<grpc::Channel> ConnectAs(const std::string& role) const;
  // Enrolls through the API, with a token made through the API.
  ClientIdentity EnrollSensor(const std::string& name, const std::string& reenroll = "") const;
  std::string MakeToken(const std::string& reenroll = "") const;

  // A connection to the same database that is not the server's.
  Store& store() const { return *store_; }
  CertificateAuthority& authority() const { return *authority_; }
  Server& server() { return *server_; }
  const Database& database() const { return database_; }
  // Stops the server and starts another on the same database and state.
  void Restart();
  // Of the first server; for the commands that an operator gives on its machine.
  Options options() const { return MakeOptions(); }
  // Starts one more replica on the same database, with the same CA, in the directory `name` below the first one's.
  std::unique_ptr<Server> StartReplica(const std::string& name) const;

 private:
  Options MakeOptions() const;

  const std::function<void(Options&)> adjust_;
  Database database_;
  std::string directory_ = "/tmp/bulkhead-server-test-XXXXXX";
  std::unique_ptr<Store> store_;
  std::unique_ptr<CertificateAuthority> authority_;
  std::unique_ptr<Server> server_;
};

// The reason in a refusal's google.rpc.ErrorInfo, and the field in its BadRequest; empty when there is none.
std::string ReasonIn(const grpc::Status& status);
std::string FieldIn(const grpc::Status& status);

// Shows a grpc::Status when a comparison fails.
std::string Show(const grpc::Status& status);

// A context with a deadline, so that no test hangs.
std::unique_ptr<grpc::ClientContext> Context(absl::Duration limit = absl::Seconds(20));

// One call, whatever the stub: Call(stub, &Stub::GetSensor, request, &response).
template <typename Stub, typename Request, typename Response>
grpc::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
  const auto context = Context();
  return (stub.*method)(context.get(), request, response);
}

}  // namespace bulkhead::controlplane::test

#define REQUIRE_GRPC_OK(expr)                                 \
  do {                                                        \
    const grpc::Status bulkhead_got = (expr);                 \
    INFO(::bulkhead::controlplane::test::Show(bulkhead_got)); \
    REQUIRE(bulkhead_got.ok());                               \
  } while (false)
#define CHECK_GRPC_CODE(expr, wanted)                             \
  do {                                                            \
    const grpc::Status bulkhead_got = (expr);                     \
    INFO(::bulkhead::controlplane::test::Show(bulkhead_got));     \
    CHECK(bulkhead_got.error_code() == grpc::StatusCode::wanted); \
  } while (false)
