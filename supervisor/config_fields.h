#pragma once
// Reading typed values out of a configuration's tree. Every mismatch becomes a problem with its path and what was
// expected; reading goes on, so that all problems are told at once. No thread rules.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/json_tree.h"

namespace ringside::supervisor {

/// The known key that a person most likely meant by `key`; empty when none is near.
[[nodiscard]] std::string_view nearest(std::string_view key, const std::vector<std::string_view>& known);

/// A value at its path. Cheap to copy; `problems` and the tree outlive it.
class Field {
 public:
  Field(const JsonNode& node, std::string path, std::vector<Problem>& problems)
      : node_(&node), path_(std::move(path)), problems_(&problems) {}

  void problem(std::string what) const { problems_->push_back({node_->line, 0, path_, std::move(what)}); }
  /// "expected WANTED, got …".
  void expected(std::string_view wanted) const;

  [[nodiscard]] const JsonNode& node() const { return *node_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool is(JsonNode::Kind kind) const { return node_->kind == kind; }

  /// These set `to` when the value is as it should be, and add a problem when it is not.
  void read(bool& to) const;
  void read(std::uint64_t& to, std::uint64_t least, std::uint64_t most) const;
  void read(std::string& to, std::initializer_list<std::string_view> one_of) const;
  /// A string that is not empty and has no zero byte in it.
  [[nodiscard]] bool read_text(std::string& to, bool may_be_empty = false) const;

  /// Each item of an array, or one problem.
  void each_item(std::string_view wanted, const std::function<void(const Field&)>& visit) const;
  /// Each member of an object, or one problem.
  void each_member(std::string_view wanted, const std::function<void(const std::string&, const Field&)>& visit) const;

  /// The members that `readers` names go to their reader; any other is a problem.
  struct Reader {
    std::string_view key;
    std::function<void(const Field&)> read;
  };
  void each_known(std::initializer_list<Reader> readers) const;

 private:
  const JsonNode* node_;
  std::string path_;
  std::vector<Problem>* problems_;
};

}  // namespace ringside::supervisor
