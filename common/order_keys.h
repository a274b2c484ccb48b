// Which orders need operators' signatures, how many, and whose: the file that a sensor, and if it is to help a control
// plane, is given.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/order_signature.h"

namespace bulkhead {

// Kinds of order that can need signatures.
enum class OrderKind { kContain, kIsolate, kBlock, kAllowList, kRelease, kUnblock, kKill, kLowerGuard };
inline constexpr size_t kOrderKinds = 8;

// "contain", "isolate", "block", "allow-list", "release" (containment, isolation), "unblock" (blocks, allow-lists),
// "kill", "lower-guard".
absl::string_view OrderKindWord(OrderKind kind);

inline constexpr uint32_t kMostSignatures = 8;

// One operator's public key. Two keys of one operator count once.
struct OrderKey {
  std::string operator_name;
  std::string public_key;  // 32 raw bytes
};

class OrderKeys {
 public:
  // Lines of words; "#" begins a comment:
  //   key OPERATOR ed25519:BASE64
  //   require KIND[,KIND...] COUNT       1..8; a kind that is not named needs none
  //   isolation-rules trusted|none       must be said where isolate is required: rules are not signed, and open a wall
  // InvalidArgument names the line, what is wrong and what would be right; also when fewer operators have keys than are
  // required.
  static absl::StatusOr<OrderKeys> Parse(absl::string_view text);

  // Parses a file. InvalidArgument names it.
  static absl::StatusOr<OrderKeys> Load(const std::string& path);

  uint32_t Required(OrderKind kind) const { return required_[static_cast<size_t>(kind)]; }
  bool trust_isolation_rules() const { return trust_isolation_rules_.value_or(true); }

  // The operators whose signatures over the statement are valid, each once. What is not valid is not counted.
  std::set<std::string> Signers(absl::string_view statement, const std::vector<OrderSignature>& signatures) const;

  // OK when one signature is valid and of a known key. InvalidArgument says what is wrong with it.
  absl::Status Check(absl::string_view statement, const OrderSignature& signature) const;

  // Null: no such key.
  const OrderKey* Find(absl::string_view key_id) const;

 private:
  absl::Status ReadLine(const std::vector<absl::string_view>& words);
  absl::Status ReadRequirement(const std::vector<absl::string_view>& words);
  absl::Status CheckWhole() const;

  std::vector<OrderKey> keys_;
  std::array<uint32_t, kOrderKinds> required_{};
  std::optional<bool> trust_isolation_rules_;
};

}  // namespace bulkhead
