// init, issue-operator, migrate, check-config, serve.
#include "controlplane/app/commands.h"

#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/order_keys.h"
#include "common/status_macros.h"
#include "controlplane/app/ca_commands.h"
#include "controlplane/app/command_store.h"
#include "controlplane/app/database.h"
#include "controlplane/app/server.h"
#include "controlplane/app/stored_roots.h"
#include "controlplane/pki/pki.h"
#include "controlplane/store/migrations.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {
namespace {

absl::Status Serve(const Options& options) {
  auto server = Server::Create(options);
  RETURN_IF_ERROR(server.status());
  return (*server)->Run();
}

absl::Status Init(const Options& options) {
  // The embedded database runs as another user, who must be able to pass through to its own directory.
  RETURN_IF_ERROR(MakeDirectories(options.state_directory, 0711));
  RETURN_IF_ERROR(MakeDirectories(CaDirectory(options), 0700));
  RETURN_IF_ERROR(CertificateAuthority::Create(CaDirectory(options), absl::Now()));
  std::cout << "certificate authority made in " << CaDirectory(options)
            << "; back up ca-key.pem, every identity hangs on it\n";
  return absl::OkStatus();
}

// The client's side of an identity, complete: bulkheadctl --config DIR/config.yaml works from any place.
absl::Status WriteIdentity(const Options& options, const KeyAndCertificate& identity, const std::string& trust_bundle) {
  const std::string& out = options.out_directory;
  RETURN_IF_ERROR(MakeDirectories(out, 0700));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(out, "/key.pem"), identity.key_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(out, "/cert.pem"), identity.certificate.chain_pem, 0644));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(out, "/ca.pem"), trust_bundle, 0644));
  const std::string config = absl::StrCat("# Identity of operator ", options.operator_name, " (", options.operator_role,
                                          ") for bulkheadctl; paths are relative to this file.\n", "server: \"",
                                          options.advertised_server, "\"\nca: ca.pem\ncert: cert.pem\nkey: key.pem\n");
  return WriteFileAtomically(absl::StrCat(out, "/config.yaml"), config, 0644);
}

absl::Status IssueOperator(const Options& options) {
  ASSIGN_OR_RETURN(const auto authority, CertificateAuthority::Open(CaDirectory(options)));
  ASSIGN_OR_RETURN(const auto database, Database::Attach(options.postgres));
  ASSIGN_OR_RETURN(const auto store, OpenStore(options, *database));
  RETURN_IF_ERROR(FollowStoredRoots(*store, *authority));
  ASSIGN_OR_RETURN(const KeyAndCertificate identity,
                   authority->IssueOperator(options.operator_name, absl::Now(), options.operator_certificate_life));
  RETURN_IF_ERROR(store->InsertOperator({.name = options.operator_name, .role = options.operator_role},
                                        identity.certificate.fingerprint_hex, identity.certificate.issuer_hex));
  RETURN_IF_ERROR(WriteIdentity(options, identity, authority->trust_bundle_pem()));
  std::cout << "operator " << options.operator_name << " (" << options.operator_role << ") until "
            << absl::FormatTime("%Y-%m-%d", identity.certificate.not_after, absl::UTCTimeZone())
            << "\nuse it with: bulkheadctl --config " << options.out_directory << "/config.yaml sensor list\n";
  return absl::OkStatus();
}

absl::Status Migrate(const Options& options) {
  ASSIGN_OR_RETURN(const auto database, Database::Attach(options.postgres));
  RETURN_IF_ERROR(OpenStore(options, *database).status());
  std::cout << "the database's schema is up to date\n";
  if (options.runtime_role.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(GrantRuntimeRole(database->connection_string(), options.runtime_role));
  std::cout << "role " << options.runtime_role << " has the privileges of the control plane\n";
  return absl::OkStatus();
}

absl::Status CheckConfig(const Options& options) {
  // Options were checked when they were read; what is left is what they point to.
  const auto authority = CertificateAuthority::Open(CaDirectory(options));
  if (!authority.ok())
    return Annotate(authority.status(), "opening the CA (make one with `bulkhead-controlplane init`)");
  if (!options.order_keys.empty()) RETURN_IF_ERROR(OrderKeys::Load(options.order_keys).status());
  std::cout << "configuration is valid\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status RunCommand(const Options& options) {
  switch (options.command) {
    case CommandLineCommand::kServe:
      return Serve(options);
    case CommandLineCommand::kInit:
      return Init(options);
    case CommandLineCommand::kIssueOperator:
      return IssueOperator(options);
    case CommandLineCommand::kMigrate:
      return Migrate(options);
    case CommandLineCommand::kCheckConfig:
      return CheckConfig(options);
    case CommandLineCommand::kCaStatus:
      return PrintCaStatus(options);
    case CommandLineCommand::kCaRotateBegin:
      return BeginCaRotation(options);
    case CommandLineCommand::kCaRotateFinish:
      return FinishCaRotation(options);
  }
  return absl::InternalError("unknown command");
}

}  // namespace bulkhead::controlplane
