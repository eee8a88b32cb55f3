#pragma once
// Text in columns, as wide as their widest cell; numbers to the right.

#include <string>
#include <vector>

namespace ringside::cli {

class Table {
 public:
  /// A title that starts with '>' makes a column of numbers.
  explicit Table(std::vector<std::string> titles);
  /// As many cells as there are titles.
  void add(std::vector<std::string> row);
  /// The title row, then the others; no line ends in blanks.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool empty() const { return rows_.size() <= 1; }

 private:
  std::vector<bool> to_the_right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ringside::cli
