#include "client/cli/redact.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace ringside::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRedacted = "[redacted]";
// Whose strings say nothing that anybody would keep to himself.
constexpr std::array<std::string_view, 8> kHarmless = {"doors", "logLevel",  "mode",  "command",
                                                       "type",  "transport", "users", "groups"};

/// Without user, password, query and fragment.
std::string bare_url(const std::string& url) {
  const auto scheme = url.find("://");
  if (scheme == std::string::npos) return kRedacted;
  const std::size_t from = scheme + 3;
  const std::string rest = url.substr(from, url.find_first_of("?#", from) - from);
  const auto authority = std::min(rest.find('/'), rest.size());
  const auto at = rest.rfind('@', authority);
  return url.substr(0, from) + (at == std::string::npos || at > authority ? rest : rest.substr(at + 1));
}

void redact(Json& value, std::string_view key) {
  if (value.is_object()) {
    for (auto& [name, member] : value.items()) redact(member, name);
  } else if (value.is_array()) {
    for (auto& item : value) redact(item, key);
  } else if (value.is_string() && key == "url") {
    value = bare_url(value.get<std::string>());
  } else if (value.is_string() && std::find(kHarmless.begin(), kHarmless.end(), key) == kHarmless.end()) {
    value = kRedacted;
  } else if (value.is_number() && (key == "env" || key == "headers")) {
    value = kRedacted;
  }
}

/// All that these hold is somebody's to keep, whatever a member is called there.
void redact_whole(Json& value) {
  if (value.is_object() || value.is_array()) {
    for (auto& item : value) redact_whole(item);
  } else {
    value = kRedacted;
  }
}

void redact_servers(Json& servers) {
  if (!servers.is_object()) return redact_whole(servers);
  for (auto& server : servers) {
    if (!server.is_object()) {
      redact_whole(server);
      continue;
    }
    for (const char* key : {"headers", "env", "args"}) {
      if (server.contains(key)) redact_whole(server[key]);
    }
  }
}

}  // namespace

std::optional<std::string> redacted_configuration(std::string_view text) {
  Json whole = Json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (whole.is_discarded()) return std::nullopt;
  if (whole.is_object() && whole.contains("mcpServers")) redact_servers(whole["mcpServers"]);
  redact(whole, {});
  return whole.dump(2) + "\n";
}

}  // namespace ringside::cli
