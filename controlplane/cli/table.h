// Text in columns, as wide as their widest cell.
#pragma once

#include <string>
#include <vector>

namespace bulkhead::controlplane::cli {

// Rows under a header. Cells are UTF-8; control characters in them are shown as '?', so that a name or a command line
// found on a compromised host cannot drive the operator's terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // Adds a row; it must have as many cells as the header. An empty cell is shown as "-".
  void AddRow(std::vector<std::string> cells);

  // Header and rows, two spaces between columns, no trailing space, a newline after each line.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// `text` with each control character replaced by '?', and each line break too.
std::string Printable(const std::string& text);

// One line of a record: the name padded to a column, then the value, "-" when it is empty.
std::string FieldLine(const std::string& name, const std::string& value);

}  // namespace bulkhead::controlplane::cli
