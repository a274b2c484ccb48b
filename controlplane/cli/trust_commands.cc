// bulkheadctl trust update: the roots that this client trusts, through a rotation of the certificate authority.
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr mode_t kMode = 0644;

struct Flags {};

absl::Status Update(Session& session, const Flags&) {
  ASSIGN_OR_RETURN(const auto response,
                   session.Call(&v1::CertificateService::Stub::GetTrustBundle, v1::GetTrustBundleRequest()));
  const std::string& path = session.connection.ca;
  ASSIGN_OR_RETURN(const std::string before, ReadFile(path));
  if (before == response.trust_bundle_pem()) return session.Print(response, absl::StrCat(path, " is up to date\n"));
  RETURN_IF_ERROR(WriteFileAtomically(path, response.trust_bundle_pem(), kMode));
  return session.Print(response, absl::StrCat(path, " has the roots of now\n"));
}

}  // namespace

void AddTrustCommands(CLI::App& root, Action& action) {
  CLI::App* trust = root.add_subcommand("trust", "The roots that this client trusts");
  trust->require_subcommand(1);
  AddVerb(*trust, action, "update", "Replace the file of --ca by the roots that the control plane uses now",
          "For a rotation of the certificate authority: while both roots are trusted, and after it.\n"
          "Does not: renew your own certificate; bulkhead-controlplane issue-operator does.\n"
          "Example: bulkheadctl trust update",
          std::make_shared<Flags>(), Update);
}

}  // namespace bulkhead::controlplane::cli
