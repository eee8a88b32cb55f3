#include "mcp/message.h"

#include <algorithm>

#include "base/text.h"

namespace ringside::mcp {
namespace {

bool is_token_char(char c) {
  const bool letter_or_digit = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
  return letter_or_digit || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_value_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

}  // namespace

void Headers::set(std::string_view name, std::string value) {
  std::string key = ascii_lower(name);
  for (Item& item : items_) {
    if (item.first == key) {
      item.second = std::move(value);
      return;
    }
  }
  items_.emplace_back(std::move(key), std::move(value));
}

const std::string* Headers::find(std::string_view name) const {
  for (const Item& item : items_) {
    if (item.first == name) return &item.second;
  }
  return nullptr;
}

std::string_view Headers::get(std::string_view name) const {
  const std::string* value = find(name);
  return value != nullptr ? std::string_view(*value) : std::string_view();
}

bool is_valid_header(std::string_view name, std::string_view value) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_token_char) &&
         std::all_of(value.begin(), value.end(), is_value_char);
}

std::string padded_copy(std::string_view bytes) {
  std::string copy;
  copy.reserve(bytes.size() + kBodyPadding);
  copy.assign(bytes);
  return copy;
}

}  // namespace ringside::mcp
