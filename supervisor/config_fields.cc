#include "supervisor/config_fields.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace ringside::supervisor {
namespace {

/// body_bytes, body-bytes and BODYBYTES are all bodyBytes to a person.
std::string folded(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c != '_' && c != '-') out.push_back(ascii_lower(c));
  }
  return out;
}

/// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (const auto word : words) out.append(out.empty() ? "" : ", ").append(word);
  return out;
}

}  // namespace

std::string_view nearest(std::string_view key, const std::vector<std::string_view>& known) {
  const std::string wanted = folded(key.substr(0, 64));
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(wanted.size() / 3, 1) + 1;
  for (const auto candidate : known) {
    const std::size_t far = distance(wanted, folded(candidate));
    if (far < best_distance) {
      best_distance = far;
      best = candidate;
    }
  }
  return best;
}

void Field::expected(std::string_view wanted) const {
  problem("expected " + std::string(wanted) + ", got " + std::string(describe(node_->kind)));
}

void Field::read(bool& to) const {
  if (!is(JsonNode::Kind::kBoolean)) return expected("true or false");
  to = node_->boolean;
}

void Field::read(std::uint64_t& to, std::uint64_t least, std::uint64_t most) const {
  const std::string wanted = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
  if (!is(JsonNode::Kind::kInteger)) return expected(wanted);
  if (node_->integer < 0 || static_cast<std::uint64_t>(node_->integer) < least ||
      static_cast<std::uint64_t>(node_->integer) > most) {
    return problem("expected " + wanted + ", got " + std::to_string(node_->integer));
  }
  to = static_cast<std::uint64_t>(node_->integer);
}

void Field::read(std::string& to, std::initializer_list<std::string_view> one_of) const {
  const std::string wanted = "one of " + joined(one_of);
  if (!is(JsonNode::Kind::kString)) return expected(wanted);
  if (std::find(one_of.begin(), one_of.end(), node_->text) == one_of.end()) {
    return problem("expected " + wanted + ", got \"" + node_->text + "\"");
  }
  to = node_->text;
}

bool Field::read_text(std::string& to, bool may_be_empty) const {
  if (!is(JsonNode::Kind::kString)) {
    expected("a string");
    return false;
  }
  if (node_->text.empty() && !may_be_empty) {
    problem("expected a string that is not empty");
    return false;
  }
  if (node_->text.find('\0') != std::string::npos) {
    problem("expected a string without a zero byte");
    return false;
  }
  to = node_->text;
  return true;
}

void Field::each_item(std::string_view wanted, const std::function<void(const Field&)>& visit) const {
  if (!is(JsonNode::Kind::kArray)) return expected(wanted);
  for (std::size_t i = 0; i < node_->items.size(); ++i) visit(Field(node_->items[i], path_of(path_, i), *problems_));
}

void Field::each_member(std::string_view wanted,
                        const std::function<void(const std::string&, const Field&)>& visit) const {
  if (!is(JsonNode::Kind::kObject)) return expected(wanted);
  for (const auto& [key, value] : node_->members) visit(key, Field(value, path_of(path_, key), *problems_));
}

void Field::each_known(std::initializer_list<Reader> readers) const {
  each_member("an object", [&](const std::string& key, const Field& field) {
    for (const auto& reader : readers) {
      if (reader.key == key) return reader.read(field);
    }
    std::vector<std::string_view> known;
    for (const auto& reader : readers) known.push_back(reader.key);
    const std::string_view near = nearest(key, known);
    field.problem(near.empty() ? "unknown key; known here are " + joined(known)
                               : "unknown key; did you mean \"" + std::string(near) + "\"?");
  });
}

}  // namespace ringside::supervisor
