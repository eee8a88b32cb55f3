#include "worker/make_upstreams.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include "worker/upstream/limited_upstream.h"

namespace ringside::worker {
namespace {

std::string guard_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringside-guard"; }

std::shared_ptr<const http::Access> access_of(const link::v1::HttpUpstream& entry) {
  http::Access access;
  access.ca_file = entry.ca_file();
  access.client_cert = entry.client_cert();
  access.client_key = entry.client_key();
  access.proxy = entry.proxy();
  for (const auto& text : entry.block_networks()) {
    // The supervisor has checked it.
    if (const auto network = IpNetwork::parse(text)) access.blocked.push_back(*network);
  }
  return std::make_shared<const http::Access>(std::move(access));
}

std::unique_ptr<Upstream> http_upstream(const link::v1::WorkerConfig& config, const link::v1::UpstreamConfig& entry,
                                        HttpRoads& roads) {
  HttpUpstreamOptions options;
  options.name = entry.name();
  options.url = entry.http().url();
  options.headers = {entry.http().headers().begin(), entry.http().headers().end()};
  options.max_body_bytes = config.limits().body_bytes();
  options.client_version = config.version();
  options.access = access_of(entry.http());
  options.shared = entry.shared();
  if (const auto most = config.limits().conversations_per_upstream(); most != 0) options.max_conversations = most;
  // As long as the session itself may stay unused.
  options.idle = std::chrono::milliseconds(config.limits().session_ttl_ms());
  return make_http_upstream(std::move(options), roads);
}

std::unique_ptr<Upstream> stdio_upstream(const link::v1::WorkerConfig& config, const link::v1::UpstreamConfig& entry) {
  StdioUpstreamOptions options;
  options.name = entry.name();
  options.command = entry.stdio().command();
  options.args = {entry.stdio().args().begin(), entry.stdio().args().end()};
  options.env = {entry.stdio().env().begin(), entry.stdio().env().end()};
  options.cwd = entry.stdio().cwd();
  options.max_body_bytes = config.limits().body_bytes();
  options.client_version = config.version();
  options.guard_program = guard_program();
  options.shared = entry.shared();
  if (const auto most = config.limits().children_per_upstream(); most != 0) options.max_children = most;
  return make_stdio_upstream(std::move(options));
}

}  // namespace

std::vector<std::unique_ptr<Upstream>> make_upstreams(const link::v1::WorkerConfig& config, HttpRoads& roads) {
  std::vector<std::unique_ptr<Upstream>> upstreams;
  for (const auto& entry : config.upstreams()) {
    if (entry.has_builtin()) {
      upstreams.push_back(make_builtin_upstream(entry.name()));
      continue;
    }
    // A child that dies has a back-off of its own, so it needs no circuit.
    UpstreamLimits limits{.timeout = std::chrono::milliseconds(entry.timeout_ms()),
                          .concurrency = entry.concurrency(),
                          .breaks = entry.has_http()};
    upstreams.push_back(
        limit_upstream(entry.has_http() ? http_upstream(config, entry, roads) : stdio_upstream(config, entry), limits));
  }
  return upstreams;
}

}  // namespace ringside::worker
