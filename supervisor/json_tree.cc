#include "supervisor/json_tree.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace ringside::supervisor {
namespace {

/// Reads the text and counts what the parser has consumed, which is all that tells a SAX event its place.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* consumed) : at_(at), consumed_(consumed) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*consumed_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* consumed_;
};

/// Takes the parser's events and builds the tree.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Builder(std::string_view text, const std::size_t& consumed, std::vector<Problem>& problems)
      : text_(text), consumed_(consumed), problems_(problems) {}

  bool null() { return add(JsonNode{}, 0); }
  bool boolean(bool value) {
    JsonNode node;
    node.kind = JsonNode::Kind::kBoolean;
    node.boolean = value;
    return add(std::move(node), 0);
  }
  bool number_integer(number_integer_t value) {
    JsonNode node;
    node.kind = JsonNode::Kind::kInteger;
    node.integer = value;
    return add(std::move(node), 1);
  }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return number_float(0, {});
    return number_integer(static_cast<number_integer_t>(value));
  }
  bool number_float(number_float_t /*value*/, const string_t& /*raw*/) {
    JsonNode node;
    node.kind = JsonNode::Kind::kReal;
    return add(std::move(node), 1);
  }
  bool string(string_t& value) {
    JsonNode node;
    node.kind = JsonNode::Kind::kString;
    node.text = std::move(value);
    return add(std::move(node), 0);
  }
  bool binary(binary_t& /*value*/) { return false; }

  bool start_object(std::size_t /*size*/) { return open(JsonNode::Kind::kObject); }
  bool start_array(std::size_t /*size*/) { return open(JsonNode::Kind::kArray); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(string_t& name) {
    Open& top = open_.back();
    if (const JsonNode* first = top.node->find(name)) {
      problems_.push_back({line_at(0), 0, path_of(top.path, name),
                           "the same key twice; it stands in line " + std::to_string(first->line) + " already"});
    }
    top.key = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error) {
    std::string_view what = error.what();
    // `position` is that of the last character read: of the whole token, where that is fine but stands in a wrong
    // place.
    const bool misplaced = what.find("unexpected ") != std::string_view::npos &&
                           what.find("unexpected end of input") == std::string_view::npos;
    const std::size_t back = misplaced ? std::max<std::size_t>(token.size(), 1) : 1;
    const std::size_t at = std::min(position < back ? 0 : position - back, text_.size());
    const std::string_view before = text_.substr(0, at);
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error while parsing …"
    const std::size_t begin = what.find("syntax error ");
    what = begin == std::string_view::npos ? what.substr(what.find("] ") + 2) : what.substr(begin);
    problems_.push_back({1 + static_cast<int>(std::count(before.begin(), before.end(), '\n')),
                         static_cast<int>(at - line_start) + 1,
                         {},
                         std::string(what)});
    return false;
  }

  JsonNode take() { return std::move(root_); }

 private:
  struct Open {
    JsonNode* node;
    std::string path;
    std::string key;
  };

  /// The line of what was consumed last; a number has consumed `ahead` more than itself.
  [[nodiscard]] int line_at(std::size_t ahead) {
    const std::size_t at = std::max(consumed_ - std::min(ahead, consumed_), counted_);
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    counted_ = at;
    return line_;
  }

  JsonNode* place(JsonNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    JsonNode& parent = *open_.back().node;
    if (parent.kind == JsonNode::Kind::kArray) return &parent.items.emplace_back(std::move(node));
    parent.members.push_back({open_.back().key, std::move(node)});
    return &parent.members.back().value;
  }

  bool add(JsonNode node, std::size_t ahead) {
    node.line = line_at(ahead);
    place(std::move(node));
    return true;
  }

  bool open(JsonNode::Kind kind) {
    std::string path;
    if (!open_.empty()) {
      const Open& top = open_.back();
      path = top.node->kind == JsonNode::Kind::kArray ? path_of(top.path, top.node->items.size())
                                                      : path_of(top.path, top.key);
    }
    JsonNode node;
    node.kind = kind;
    node.line = line_at(0);
    if (open_.size() == kMaxConfigDepth) {
      problems_.push_back({node.line, 0, path, "nested deeper than " + std::to_string(kMaxConfigDepth) + " levels"});
      return false;
    }
    JsonNode* placed = place(std::move(node));
    open_.push_back({placed, std::move(path), {}});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::size_t& consumed_;
  std::vector<Problem>& problems_;
  JsonNode root_;
  std::vector<Open> open_;
  std::size_t counted_ = 0;
  int line_ = 1;
};

bool is_plain(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

}  // namespace

const JsonNode* JsonNode::find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view describe(JsonNode::Kind kind) {
  switch (kind) {
    case JsonNode::Kind::kNull:
      return "null";
    case JsonNode::Kind::kBoolean:
      return "true or false";
    case JsonNode::Kind::kInteger:
      return "a number";
    case JsonNode::Kind::kReal:
      return "a number that is no integer of 64 bits";
    case JsonNode::Kind::kString:
      return "a string";
    case JsonNode::Kind::kArray:
      return "an array";
    case JsonNode::Kind::kObject:
      return "an object";
  }
  return "nothing";
}

std::string path_of(const std::string& parent, std::string_view key) {
  if (!is_plain(key)) return parent + "[\"" + std::string(key) + "\"]";
  return parent.empty() ? std::string(key) : parent + "." + std::string(key);
}

std::string path_of(const std::string& parent, std::size_t index) { return parent + "[" + std::to_string(index) + "]"; }

std::optional<JsonNode> read_json(std::string_view text, std::vector<Problem>& problems) {
  std::size_t consumed = 0;
  Builder builder(text, consumed, problems);
  const CountingIterator begin(text.data(), &consumed);
  const CountingIterator end(text.data() + text.size(), &consumed);
  const bool whole = nlohmann::json::sax_parse(begin, end, &builder, nlohmann::json::input_format_t::json,
                                               /*strict=*/true, /*ignore_comments=*/true);
  if (!whole) return std::nullopt;
  return builder.take();
}

}  // namespace ringside::supervisor
