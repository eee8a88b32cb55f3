#include "mcp/resource_template.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ringside::mcp {
namespace {

constexpr std::size_t kMaxUri = 8192;

/// The places of an URI that the part of the template read so far may end at. Every step costs the URI's length, and
/// no template makes it cost more.
class Places {
 public:
  explicit Places(std::string_view uri) : uri_(uri), at_(uri.size() + 1, false) { at_[0] = true; }

  void literal(std::string_view text) {
    std::vector<bool> next(at_.size(), false);
    for (std::size_t i = 0; i + text.size() <= uri_.size(); ++i) {
      if (at_[i] && uri_.substr(i, text.size()) == text) next[i + text.size()] = true;
    }
    at_.swap(next);
  }

  void expression(char kind) {
    const bool is_query = kind == '?' || kind == '&';
    const bool passes_slash = is_query || kind == '+' || kind == '#';
    std::vector<bool> next(at_.size(), false);
    bool inside = false;
    for (std::size_t i = 0; i < uri_.size(); ++i) {
      if (at_[i] && (!is_query || uri_[i] == kind)) inside = true;
      if (!passes_slash && uri_[i] == '/') inside = false;
      next[i + 1] = inside;
    }
    if (is_query) {
      for (std::size_t i = 0; i < next.size(); ++i) next[i] = next[i] || at_[i];
    }
    at_.swap(next);
  }

  [[nodiscard]] bool at_end() const { return at_.back(); }
  [[nodiscard]] bool none() const { return std::find(at_.begin(), at_.end(), true) == at_.end(); }

 private:
  std::string_view uri_;
  std::vector<bool> at_;
};

}  // namespace

bool matches_template(std::string_view uri_template, std::string_view uri) {
  if (uri.size() > kMaxUri || uri_template.size() > kMaxUri) return false;
  Places places(uri);
  for (std::string_view rest = uri_template; !rest.empty() && !places.none();) {
    const std::size_t open = rest.find('{');
    if (open != 0) {
      const std::string_view text = rest.substr(0, open);
      places.literal(text);
      rest.remove_prefix(text.size());
      continue;
    }
    const std::size_t close = rest.find('}');
    if (close == std::string_view::npos || close == 1) return uri_template == uri;
    places.expression(rest[1]);
    rest.remove_prefix(close + 1);
  }
  return places.at_end();
}

}  // namespace ringside::mcp
