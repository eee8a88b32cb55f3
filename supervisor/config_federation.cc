#include "supervisor/config_federation.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

namespace ringside::supervisor {
namespace {

constexpr std::size_t kMaxSeparator = 4;
constexpr std::uint64_t kMaxPatienceMs = 600'000;

/// A tool's name is made of these only.
bool is_separator(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSeparator && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 0x80) || c == '_' || c == '.' || c == '-';
  });
}

bool is_redis_place(std::string_view url) {
  if (url.starts_with("unix:")) return url.size() > 6 && url[5] == '/';
  const std::size_t colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = url.substr(colon + 1);
  return !port.empty() && port.size() <= 5 &&
         std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) &&
         std::stoi(std::string(port)) >= 1 && std::stoi(std::string(port)) <= 65535;
}

void read_upstreams(const Field& field, const std::vector<link::v1::UpstreamConfig>& upstreams,
                    link::v1::VirtualServer& server) {
  field.each_item("an array of names of mcpServers", [&](const Field& item) {
    std::string name;
    if (!item.read_text(name)) return;
    const bool known = std::any_of(upstreams.begin(), upstreams.end(), [&](const auto& u) { return u.name() == name; });
    if (!known) return item.problem("expected a server of mcpServers that is not disabled, got \"" + name + "\"");
    server.add_upstreams(name);
  });
  if (field.is(JsonNode::Kind::kArray) && field.node().items.empty()) {
    field.problem("expected at least one server; leave the key out for all of them");
  }
}

void read_tools(const Field& field, link::v1::VirtualServer& server) {
  field.each_item("an array of tools' names, as clients see them", [&](const Field& item) {
    std::string name;
    if (item.read_text(name)) server.add_tools(name);
  });
  if (field.is(JsonNode::Kind::kArray) && field.node().items.empty()) {
    field.problem("expected at least one tool; leave the key out for all of them");
  }
}

}  // namespace

void read_federation(const Field& field, link::v1::Federation& federation) {
  field.each_known({
      {"names",
       [&](const Field& member) {
         member.read(*federation.mutable_names(), {"collisions", "always", "first"});
       }},
      {"separator",
       [&](const Field& member) {
         std::string text;
         if (!member.read_text(text)) return;
         if (!is_separator(text)) {
           return member.problem("expected 1 to 4 letters, digits, '_', '.' or '-', got \"" + text + "\"");
         }
         federation.set_separator(text);
       }},
      {"patienceMs",
       [&](const Field& member) {
         std::uint64_t value = 1;
         member.read(value, 1, kMaxPatienceMs);
         federation.set_patience_ms(value);
       }},
  });
}

std::vector<link::v1::VirtualServer> read_virtual_servers(const Field& field,
                                                          const std::vector<link::v1::UpstreamConfig>& upstreams) {
  std::vector<link::v1::VirtualServer> servers;
  field.each_member("an object of servers by id", [&](const std::string& id, const Field& entry) {
    if (id.empty()) return entry.problem("expected a server's id: not an empty one, which stands for all there is");
    auto& server = servers.emplace_back();
    server.set_id(id);
    entry.each_known({
        {"upstreams", [&](const Field& member) { read_upstreams(member, upstreams, server); }},
        {"tools", [&](const Field& member) { read_tools(member, server); }},
        {"require",
         [&](const Field& member) {
           member.each_member("an object of permissions by method", [&](const std::string& method, const Field& value) {
             if (method.empty()) return value.problem("expected the name of a method");
             static_cast<void>(value.read_text((*server.mutable_require())[method]));
           });
         }},
    });
  });
  return servers;
}

void read_store(const Field& field, link::v1::Store& store) {
  field.each_known({
      {"kind",
       [&](const Field& member) {
         member.read(*store.mutable_kind(), {"sqlite", "redis"});
       }},
      {"url",
       [&](const Field& member) {
         std::string url;
         if (!member.read_text(url)) return;
         if (!is_redis_place(url)) return member.problem("expected unix:/PATH or HOST:PORT, got \"" + url + "\"");
         store.set_url(url);
       }},
  });
  const bool is_redis = store.kind() == "redis";
  if (is_redis && field.node().find("url") == nullptr) {
    field.problem("expected url beside kind redis: unix:/PATH or HOST:PORT");
  }
  if (!is_redis && field.node().find("url") != nullptr) field.problem("url is for kind redis only");
}

}  // namespace ringside::supervisor
