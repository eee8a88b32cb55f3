#include "supervisor/config_servers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <set>
#include <string>

#include "base/ip_network.h"
#include "base/text.h"

namespace ringside::supervisor {
namespace {

using link::v1::UpstreamConfig;

constexpr std::array<std::string_view, 16> kMembers{
    "command",  "args",   "env",       "cwd",         "url", "headers", "builtin",    "type",
    "disabled", "shared", "timeoutMs", "concurrency", "tls", "proxy",   "allowHosts", "blockNetworks"};
/// Where clouds keep what a machine may know of itself, its keys among them: link-local addresses, and the one that is
/// not.
constexpr std::array<std::string_view, 3> kBlockedByDefault{"169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"};
constexpr std::uint64_t kDayMs = 86'400'000;
constexpr std::uint64_t kMostConcurrency = 100'000;

bool is_server_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 0x80) || c == '_' || c == '.' || c == '-';
  });
}

/// A header's name is a token of RFC 9110, section 5.6.2.
bool is_header_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || kMarks.find(static_cast<char>(c)) != std::string_view::npos);
  });
}

bool is_header_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

/// Of a URL that is_url: its host, without a user, a port and brackets, in lower case.
std::string host_of(std::string_view url) {
  std::string_view rest = url.substr(url.find("://") + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  if (rest.starts_with('[')) return ascii_lower(rest.substr(1, rest.find(']') - 1));
  return ascii_lower(rest.substr(0, rest.find(':')));
}

/// `*.example.com` stands for every name below it, not for itself.
bool is_host(std::string_view host, std::string_view pattern) {
  const std::string wanted = ascii_lower(pattern);
  if (!wanted.starts_with("*.")) return host == wanted;
  return host.size() > wanted.size() - 1 && host.ends_with(std::string_view(wanted).substr(1));
}

bool is_url(std::string_view url) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!url.starts_with(scheme)) continue;
    const std::string_view rest = url.substr(scheme.size());
    return !rest.empty() && rest.front() != '/' && rest.front() != ':' && rest.front() != '?' && rest.front() != '#' &&
           std::all_of(rest.begin(), rest.end(), [](unsigned char c) { return c > 0x20 && c != 0x7f; });
  }
  return false;
}

/// One entry of the block.
class ServerReader {
 public:
  ServerReader(const Field& entry, std::vector<Problem>& warnings) : entry_(entry), warnings_(warnings) {}

  /// Nothing when the entry is disabled or wrong in a way that leaves nothing to read.
  std::optional<UpstreamConfig> read(const std::string& name) {
    bool disabled = false;
    entry_.each_member("an object with command, url or builtin", [&](const std::string& key, const Field& field) {
      if (key == "disabled") field.read(disabled);
    });
    if (!entry_.is(JsonNode::Kind::kObject) || disabled || !choose_kind()) return std::nullopt;
    config_.set_name(name);
    entry_.each_member("an object", [&](const std::string& key, const Field& field) {
      const bool used =
          config_.has_builtin()
              ? read_builtin(key, field)
              : read_common(key, field) || (config_.has_stdio() ? read_stdio(key, field) : read_http(key, field));
      if (!used && key != "disabled") unused(key, field);
    });
    if (config_.has_http()) finish_http();
    return config_;
  }

 private:
  bool choose_kind() {
    const bool stdio = entry_.node().find("command") != nullptr;
    const bool http = entry_.node().find("url") != nullptr;
    const bool builtin = entry_.node().find("builtin") != nullptr;
    const int kinds = static_cast<int>(stdio) + static_cast<int>(http) + static_cast<int>(builtin);
    if (kinds > 1) entry_.problem("expected only one of command, url and builtin, got " + std::to_string(kinds));
    if (kinds == 0) {
      entry_.problem("expected command (a program), url (an HTTP server) or builtin, got none of them" + hint());
    }
    if (kinds != 1) return false;
    if (stdio) config_.mutable_stdio();
    if (http) config_.mutable_http();
    if (builtin) config_.mutable_builtin();
    return true;
  }

  [[nodiscard]] std::string hint() const {
    for (const auto& [key, value] : entry_.node().members) {
      const std::string_view near = nearest(key, {"command", "url", "builtin"});
      if (!near.empty()) return "; did you mean \"" + std::string(near) + "\" by \"" + key + "\"?";
    }
    return {};
  }

  /// What servers of both real kinds have.
  bool read_common(const std::string& key, const Field& field) {
    if (key == "shared") {
      bool shared = false;
      field.read(shared);
      config_.set_shared(shared);
    } else if (key == "timeoutMs") {
      std::uint64_t timeout_ms = 0;
      field.read(timeout_ms, 1, kDayMs);
      config_.set_timeout_ms(timeout_ms);
    } else if (key == "concurrency") {
      std::uint64_t concurrency = 0;
      field.read(concurrency, 1, kMostConcurrency);
      config_.set_concurrency(static_cast<std::uint32_t>(concurrency));
    } else {
      return false;
    }
    return true;
  }

  bool read_stdio(const std::string& key, const Field& field) {
    auto& stdio = *config_.mutable_stdio();
    if (key == "command") {
      static_cast<void>(field.read_text(*stdio.mutable_command()));
    } else if (key == "cwd") {
      static_cast<void>(field.read_text(*stdio.mutable_cwd()));
    } else if (key == "args") {
      field.each_item("an array of strings", [&](const Field& item) {
        static_cast<void>(item.read_text(*stdio.add_args(), /*may_be_empty=*/true));
      });
    } else if (key == "env") {
      field.each_member("an object of strings", [&](const std::string& name, const Field& value) {
        if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos) {
          return value.problem("expected the name of an environment variable: not empty, without '='");
        }
        static_cast<void>(value.read_text((*stdio.mutable_env())[name], /*may_be_empty=*/true));
      });
    } else if (key == "type") {
      std::string type;
      field.read(type, {"stdio"});
    } else {
      return false;
    }
    return true;
  }

  bool read_http(const std::string& key, const Field& field) {
    auto& http = *config_.mutable_http();
    if (key == "url") {
      if (!field.is(JsonNode::Kind::kString)) {
        field.expected("an http:// or https:// URL");
      } else if (!is_url(field.node().text)) {
        field.problem("expected an http:// or https:// URL, got \"" + field.node().text + "\"");
      }
      http.set_url(field.node().text);
    } else if (key == "headers") {
      std::set<std::string> seen;
      field.each_member("an object of strings",
                        [&](const std::string& name, const Field& value) { read_header(name, value, seen); });
    } else if (key == "type") {
      std::string type;
      field.read(type, {"http", "streamable-http", "streamableHttp"});
    } else if (key == "tls") {
      read_tls(field);
    } else if (key == "proxy") {
      static_cast<void>(field.read_text(*http.mutable_proxy()));
    } else if (key == "allowHosts") {
      field.each_item("an array of host names",
                      [&](const Field& item) { static_cast<void>(item.read_text(*http.add_allow_hosts())); });
    } else if (key == "blockNetworks") {
      states_blocked_ = true;
      field.each_item("an array of networks", [&](const Field& item) {
        std::string network;
        if (!item.read_text(network)) return;
        if (!IpNetwork::parse(network)) return item.problem("expected a network such as 10.0.0.0/8, or an address");
        http.add_block_networks(network);
      });
    } else {
      return false;
    }
    return true;
  }

  void read_tls(const Field& field) {
    auto& http = *config_.mutable_http();
    field.each_known(
        {{"ca", [&](const Field& file) { static_cast<void>(file.read_text(*http.mutable_ca_file())); }},
         {"cert", [&](const Field& file) { static_cast<void>(file.read_text(*http.mutable_client_cert())); }},
         {"key", [&](const Field& file) { static_cast<void>(file.read_text(*http.mutable_client_key())); }}});
    if (!http.client_key().empty() && http.client_cert().empty()) field.problem("expected cert beside key");
  }

  /// What only the whole entry shows.
  void finish_http() {
    auto& http = *config_.mutable_http();
    if (!states_blocked_) {
      for (const auto network : kBlockedByDefault) http.add_block_networks(std::string(network));
    }
    if (http.allow_hosts().empty() || !is_url(http.url())) return;
    const std::string host = host_of(http.url());
    const bool allowed = std::any_of(http.allow_hosts().begin(), http.allow_hosts().end(),
                                     [&](const std::string& pattern) { return is_host(host, pattern); });
    if (!allowed) entry_.problem("expected an url whose host is one of allowHosts, got \"" + host + "\"");
  }

  void read_header(const std::string& name, const Field& value, std::set<std::string>& seen) {
    if (!is_header_name(name)) return value.problem("expected the name of an HTTP header");
    if (!seen.insert(ascii_lower(name)).second) return value.problem("the same header twice, in other letters");
    std::string text;
    if (!value.read_text(text, /*may_be_empty=*/true)) return;
    // The value may be a secret: it is never repeated in a message.
    if (!is_header_value(text)) return value.problem("expected a header's value: no control characters");
    (*config_.mutable_http()->mutable_headers())[name] = text;
  }

  static bool read_builtin(const std::string& key, const Field& field) {
    if (key != "builtin") return false;
    if (!field.is(JsonNode::Kind::kBoolean) || !field.node().boolean) field.problem("expected true");
    return true;
  }

  void unused(const std::string& key, const Field& field) {
    const bool known = std::find(kMembers.begin(), kMembers.end(), key) != kMembers.end();
    const std::string_view near = known ? std::string_view() : nearest(key, {kMembers.begin(), kMembers.end()});
    std::string what = known ? "not used by a server of this kind, ignored" : "not used by Ringside, ignored";
    if (!near.empty()) what += "; did you mean \"" + std::string(near) + "\"?";
    warnings_.push_back({field.node().line, 0, field.path(), std::move(what)});
  }

  Field entry_;
  std::vector<Problem>& warnings_;
  UpstreamConfig config_;
  bool states_blocked_ = false;
};

}  // namespace

std::vector<UpstreamConfig> read_servers(const Field& servers, std::vector<Problem>& warnings) {
  std::vector<UpstreamConfig> found;
  servers.each_member("an object of servers by name", [&](const std::string& name, const Field& entry) {
    if (!is_server_name(name)) {
      return entry.problem("expected a server's name of letters, digits, '_', '.' and '-', and not an empty one");
    }
    if (auto server = ServerReader(entry, warnings).read(name)) found.push_back(std::move(*server));
  });
  return found;
}

}  // namespace ringside::supervisor
