// Processes with a socket that works through shared memory.
#include "sensor/kernel/ring_holders.h"

#include <bpf/libbpf.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "holders.skel.h"
#include "sensor/kernel/bpf_iter.h"
#include "sensor/kernel/held_process.h"
#include "sensor/kernel/never_killed.h"

namespace bulkhead::sensor {
namespace {

constexpr int kRounds = 10;  // a holder may hand its socket on, or fork, while it is killed
constexpr absl::Duration kEnds = absl::Milliseconds(200);

}  // namespace

absl::StatusOr<RingHolders> RingHolders::Open(const std::string& directory, const Scope& scope, bool kill) {
  size_t size = 0;
  const void* bytes = holders_bpf::elf_bytes(&size);
  ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, {"bh_holders"}));
  RETURN_IF_ERROR(LoadObject(object.get(), directory));
  return RingHolders(std::move(object), scope, kill);
}

absl::StatusOr<std::set<uint32_t>> RingHolders::List() const {
  ASSIGN_OR_RETURN(const std::string listed,
                   RunIterator(bpf_object__find_program_by_name(object_.get(), "bh_holders"), nullptr));
  const auto* pids = reinterpret_cast<const uint32_t*>(listed.data());
  return std::set<uint32_t>(pids, pids + listed.size() / sizeof(uint32_t));
}

// True: somebody was killed, so there is reason to look again.
absl::StatusOr<bool> RingHolders::KillOnce() {
  ended_.left.clear();
  ASSIGN_OR_RETURN(const std::set<uint32_t> found, List());
  std::vector<HeldProcess> held;
  for (const uint32_t pid : found) {
    absl::StatusOr<HeldProcess> process = HeldProcess::Hold(static_cast<pid_t>(pid));
    if (process.ok()) held.push_back(*std::move(process));
  }
  if (held.empty()) return false;
  // Who is listed again while we hold it is the process that we hold: its number cannot have been given away.
  ASSIGN_OR_RETURN(const std::set<uint32_t> still, List());
  const NeverKilled never(scope_);
  bool any = false;
  for (const HeldProcess& process : held) {
    if (still.count(static_cast<uint32_t>(process.pid())) == 0) continue;
    const std::string reason =
        kill_ ? never.Reason(process.pid(), process.info()) : "the option ring_sockets says report";
    const absl::Status killed = reason.empty() ? process.Kill() : absl::FailedPreconditionError(reason);
    if (killed.ok()) {
      any = true;
      ended_.done.push_back(absl::StrCat("killed ", process.Describe(), ": it held a socket that works past the wall"));
      LogWarning("killed a process: a socket of it works past the wall", {{"process", process.Describe()}});
      process.Ended(kEnds);
    } else if (!absl::IsNotFound(killed)) {
      ended_.left.push_back(
          absl::StrCat("process ", process.pid(), " (", process.info().executable,
                       ") holds a socket that works past the wall, AF_XDP or a packet ring from before it, "
                       "and is left alone: ",
                       killed.message()));
    }
  }
  return any;
}

void RingHolders::Close() {
  for (int round = 0; round < kRounds; ++round) {
    const absl::StatusOr<bool> killed = KillOnce();
    if (!killed.ok()) {
      ended_.left = {
          absl::StrCat("who holds sockets that work past the wall is not known: ", killed.status().message())};
      return;
    }
    if (!*killed) return;
  }
}

}  // namespace bulkhead::sensor
