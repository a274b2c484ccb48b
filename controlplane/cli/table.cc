// Text in columns, as wide as their widest cell.
#include "controlplane/cli/table.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace bulkhead::controlplane::cli {
namespace {

// Code points, which is columns for all but wide characters.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace

std::string Printable(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080..U+009F are control characters too; in UTF-8 they are 0xc2 and then 0x80..0x9f.
    const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    out += (c < 0x20 || c == 0x7f || c1) ? '?' : text[i];
  }
  return out;
}

std::string FieldLine(const std::string& name, const std::string& value) {
  return absl::StrFormat("%-14s%s\n", name, value.empty() ? "-" : Printable(value));
}

void Table::AddRow(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = cell.empty() ? "-" : Printable(cell);
  cells.resize(rows_.front().size(), "-");
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace bulkhead::controlplane::cli
