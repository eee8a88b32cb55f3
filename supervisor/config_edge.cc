#include "supervisor/config_edge.h"

#include <unistd.h>

#include <functional>

namespace ringside::supervisor {
namespace {

std::function<void(const Field&)> place(std::optional<TcpPlace>& to) {
  return [&to](const Field& field) {
    std::string text;
    if (!field.read_text(text)) return;
    to = parse_tcp_place(text);
    if (!to) field.problem("expected HOST:PORT, HOST an address (IPv6 in brackets) or localhost, got \"" + text + "\"");
  };
}

std::function<void(const Field&)> file(std::string* to) {
  return [to](const Field& field) {
    std::string path;
    if (!field.read_text(path)) return;
    if (!path.starts_with('/')) return field.problem("expected an absolute path, got \"" + path + "\"");
    *to = std::move(path);
  };
}

template <typename List>
std::function<void(const Field&)> texts(std::string_view wanted, List* to) {
  return [wanted, to](const Field& field) {
    field.each_item(wanted, [to](const Field& item) {
      std::string text;
      if (item.read_text(text)) *to->Add() = std::move(text);
    });
  };
}

void check_readable(const std::string& path, std::string_view key, std::vector<std::string>& faults) {
  if (path.empty() || ::access(path.c_str(), R_OK) == 0) return;
  faults.push_back("edge." + std::string(key) + ": the file cannot be read: " + path);
}

}  // namespace

void read_edge(const Field& field, EdgeConfig& edge) {
  auto& rules = edge.rules;
  field.each_known({
      {"listen", place(edge.listen)},
      {"grpcListen", place(edge.grpc_listen)},
      {"tls",
       [&](const Field& tls) {
         tls.each_known({
             {"cert", file(rules.mutable_tls_cert())},
             {"key", file(rules.mutable_tls_key())},
             {"clientCa", file(rules.mutable_client_ca())},
         });
       }},
      {"bearerFile", file(rules.mutable_bearer_file())},
      {"origins", texts("an array of origins (https://app.example.com)", rules.mutable_origins())},
      {"hosts", texts("an array of host names that clients may use", rules.mutable_hosts())},
      {"requireSession",
       [&](const Field& member) {
         bool wanted = true;
         member.read(wanted);
         rules.set_require_session(wanted);
       }},
  });
}

std::vector<std::string> faults_of(const EdgeConfig& edge) {
  const auto& rules = edge.rules;
  std::vector<std::string> faults;
  const bool tls = !rules.tls_cert().empty();
  if (tls != !rules.tls_key().empty()) faults.emplace_back("edge.tls: \"cert\" and \"key\" belong together");
  check_readable(rules.tls_cert(), "tls.cert", faults);
  check_readable(rules.tls_key(), "tls.key", faults);
  check_readable(rules.client_ca(), "tls.clientCa", faults);
  check_readable(rules.bearer_file(), "bearerFile", faults);
  if (edge.listen && !is_loopback(*edge.listen) && (!tls || rules.bearer_file().empty())) {
    faults.push_back("edge: " + to_string(*edge.listen) +
                     " can be reached from other machines, so it needs both \"tls\" and \"bearerFile\"; or listen at "
                     "127.0.0.1");
  }
  if (edge.grpc_listen && (!tls || rules.client_ca().empty())) {
    faults.emplace_back(
        "edge.grpcListen: remote workers are known by their certificates; name \"cert\", \"key\" and \"clientCa\" in "
        "\"tls\"");
  }
  return faults;
}

link::v1::Edge to_edge(const EdgeConfig& edge) {
  link::v1::Edge rules = edge.rules;
  rules.set_http(edge.listen.has_value());
  rules.set_grpc(edge.grpc_listen.has_value());
  return rules;
}

}  // namespace ringside::supervisor
