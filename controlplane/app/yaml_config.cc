// The few lines between yaml-cpp and CLI11; their exceptions end in CLI11's parser.
#include "controlplane/app/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <iterator>
#include <string>
#include <vector>

namespace bulkhead::controlplane {
namespace {

std::vector<std::string> ValuesOf(const std::string& key, const YAML::Node& node) {
  if (node.IsScalar()) return {node.Scalar()};
  if (!node.IsSequence()) throw CLI::ConversionError(key, "must be a value or a list of values");
  std::vector<std::string> values;
  for (const YAML::Node& entry : node) {
    if (!entry.IsScalar()) throw CLI::ConversionError(key, "must be a value or a list of values");
    values.push_back(entry.Scalar());
  }
  return values;
}

class YamlConfig final : public CLI::Config {
 public:
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return ""; }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(std::istreambuf_iterator<char>(input), {}));
    } catch (const YAML::Exception& error) {
      throw CLI::ConversionError(error.what(), "configuration file");
    }
    if (root.IsNull()) return {};
    if (!root.IsMap()) throw CLI::ConversionError("expected a mapping of option names to values", "configuration file");
    std::vector<CLI::ConfigItem> read;
    for (const auto& entry : root) {
      CLI::ConfigItem item;
      item.name = entry.first.Scalar();
      item.inputs = ValuesOf(item.name, entry.second);
      read.push_back(std::move(item));
    }
    return read;
  }
};

}  // namespace

std::shared_ptr<CLI::Config> MakeYamlConfig() {
  return std::make_shared<YamlConfig>();
}

}  // namespace bulkhead::controlplane
