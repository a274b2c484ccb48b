// Which orders need operators' signatures, how many, and whose.
#include "common/order_keys.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"
#include "common/status_macros.h"

namespace bulkhead {
namespace {

constexpr std::array<absl::string_view, kOrderKinds> kWords = {"contain", "isolate", "block", "allow-list",
                                                               "release", "unblock", "kill",  "lower-guard"};

std::optional<OrderKind> KindOf(absl::string_view word) {
  const auto found = std::find(kWords.begin(), kWords.end(), word);
  if (found == kWords.end()) return std::nullopt;
  return static_cast<OrderKind>(found - kWords.begin());
}

constexpr size_t kLargestFile = 1 << 20;

absl::Status Wrong(absl::string_view problem) {
  return absl::InvalidArgumentError(problem);
}

}  // namespace

absl::string_view OrderKindWord(OrderKind kind) {
  return kWords[static_cast<size_t>(kind)];
}

absl::StatusOr<OrderKeys> OrderKeys::Parse(absl::string_view text) {
  OrderKeys out;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    if (const absl::Status status = out.ReadLine(words); !status.ok()) {
      return Wrong(absl::StrCat("line ", number, ": ", status.message()));
    }
  }
  RETURN_IF_ERROR(out.CheckWhole());
  return out;
}

absl::StatusOr<OrderKeys> OrderKeys::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLargestFile));
  absl::StatusOr<OrderKeys> keys = Parse(text);
  if (!keys.ok()) return Wrong(absl::StrCat(path, ": ", keys.status().message()));
  return keys;
}

absl::Status OrderKeys::ReadLine(const std::vector<absl::string_view>& words) {
  if (words[0] == "key") {
    if (words.size() != 3) return Wrong("write: key OPERATOR ed25519:BASE64");
    const absl::StatusOr<std::string> key = ParseOrderPublicKey(words[2]);
    if (!key.ok()) return Wrong(absl::StrCat("\"", words[2], "\" ", key.status().message()));
    if (Find(OrderKeyId(*key)) != nullptr) return Wrong("this key is in the file twice");
    keys_.push_back({std::string(words[1]), *key});
    return absl::OkStatus();
  }
  if (words[0] == "require") return ReadRequirement(words);
  if (words[0] == "isolation-rules") {
    if (words.size() != 2 || (words[1] != "trusted" && words[1] != "none")) {
      return Wrong("write: isolation-rules trusted|none");
    }
    if (trust_isolation_rules_) return Wrong("isolation-rules is in the file twice");
    trust_isolation_rules_ = words[1] == "trusted";
    return absl::OkStatus();
  }
  return Wrong(absl::StrCat("\"", words[0], "\" is not key, require or isolation-rules"));
}

absl::Status OrderKeys::ReadRequirement(const std::vector<absl::string_view>& words) {
  uint32_t count = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[2], &count) || count < 1 || count > kMostSignatures) {
    return Wrong(absl::StrCat("write: require KIND[,KIND...] COUNT, with a count of 1..", kMostSignatures));
  }
  for (const absl::string_view word : absl::StrSplit(words[1], ',')) {
    const std::optional<OrderKind> kind = KindOf(word);
    if (!kind) return Wrong(absl::StrCat("\"", word, "\" is not one of ", absl::StrJoin(kWords, ", ")));
    uint32_t& required = required_[static_cast<size_t>(*kind)];
    if (required != 0) return Wrong(absl::StrCat(word, " is required twice"));
    required = count;
  }
  return absl::OkStatus();
}

absl::Status OrderKeys::CheckWhole() const {
  std::set<absl::string_view> operators;
  for (const OrderKey& key : keys_) operators.insert(key.operator_name);
  const uint32_t most = *std::max_element(required_.begin(), required_.end());
  if (most == 0) return Wrong("no order is required to be signed; write: require KIND[,KIND...] COUNT");
  if (operators.size() < most) {
    return Wrong(absl::StrCat(most, " signatures are required, and ", operators.size(),
                              " operators have keys: no such order could ever be given"));
  }
  if (Required(OrderKind::kIsolate) != 0 && !trust_isolation_rules_) {
    return Wrong(
        "isolate is required to be signed, and isolation rules, which open it, are not signed; write isolation-rules "
        "none (this host takes no rules), or isolation-rules trusted");
  }
  return absl::OkStatus();
}

const OrderKey* OrderKeys::Find(absl::string_view key_id) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const OrderKey& key) { return OrderKeyId(key.public_key) == key_id; });
  return found == keys_.end() ? nullptr : &*found;
}

absl::Status OrderKeys::Check(absl::string_view statement, const OrderSignature& signature) const {
  const OrderKey* const key = Find(signature.key_id);
  if (key == nullptr) return Wrong(absl::StrCat("no operator has the key ", signature.key_id));
  if (VerifyOrderSignature(key->public_key, statement, signature.signature)) return absl::OkStatus();
  return Wrong(absl::StrCat("the signature is not that of ", key->operator_name, "'s key over this statement"));
}

std::set<std::string> OrderKeys::Signers(absl::string_view statement,
                                         const std::vector<OrderSignature>& signatures) const {
  std::set<std::string> out;
  for (const OrderSignature& signature : signatures) {
    if (Check(statement, signature).ok()) out.insert(Find(signature.key_id)->operator_name);
  }
  return out;
}

}  // namespace bulkhead
