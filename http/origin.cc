#include "http/origin.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace ringside::http {
namespace {

constexpr std::array<std::string_view, 3> kOwnNames = {"localhost", "127.0.0.1", "[::1]"};

/// HOST of HOST[:PORT]; the port, where there is one, must be digits. Empty: malformed.
std::string_view name_of(std::string_view host) {
  const auto from = host.starts_with('[') ? host.find(']') : 0;
  if (from == std::string_view::npos) return {};
  const auto colon = host.find(':', from);
  if (colon == std::string_view::npos) return host;
  const auto port = host.substr(colon + 1);
  const bool digits =
      !port.empty() && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? host.substr(0, colon) : std::string_view();
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& each) { return ascii_lower(each) == text; });
}

}  // namespace

bool is_allowed_host(std::string_view host, const EdgeNames& names) {
  const std::string lower = ascii_lower(host);
  const std::string_view name = name_of(lower);
  if (name.empty()) return false;
  return std::find(kOwnNames.begin(), kOwnNames.end(), name) != kOwnNames.end() || contains(names.hosts, name) ||
         contains(names.hosts, lower);
}

bool is_allowed_origin(std::string_view origin, const EdgeNames& names) {
  const std::string lower = ascii_lower(origin);
  if (contains(names.origins, lower)) return true;
  const auto scheme = lower.find("://");
  if (scheme == std::string::npos) return false;  // "null" too: a sandbox that could be anybody's
  const std::string_view kind = std::string_view(lower).substr(0, scheme);
  return (kind == "http" || kind == "https") && is_allowed_host(std::string_view(lower).substr(scheme + 3), names);
}

}  // namespace ringside::http
