#include "client/cli/status.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "base/text.h"
#include "client/cli/operator_channel.h"
#include "client/cli/table.h"
#include "ringside/control/v1/control.grpc.pb.h"

namespace ringside::cli {
namespace {

namespace control = ringside::control::v1;

/// STATE_BACKING_OFF is "backing_off".
std::string state_of(const control::Worker& worker) {
  constexpr std::string_view kPrefix = "STATE_";
  const std::string name = control::Worker::State_Name(worker.state());
  return name.empty() ? "?" : ascii_lower(name.substr(kPrefix.size()));
}

std::string duration_of(std::uint64_t ms) {
  constexpr std::uint64_t kDay = 86'400;
  const std::uint64_t total = ms / 1000;
  const auto part = [](std::uint64_t count, const char* unit) { return std::to_string(count) + unit; };
  if (total < 60) return part(total, "s");
  if (total < 3600) return part(total / 60, "m") + part(total % 60, "s");
  if (total < kDay) return part(total / 3600, "h") + part(total / 60 % 60, "m");
  return part(total / kDay, "d") + part(total / 3600 % 24, "h");
}

template <typename Texts>
std::string joined(const Texts& texts, const char* between) {
  std::string all;
  for (const auto& text : texts) all += (all.empty() ? "" : between) + text;
  return all;
}

std::string workers_of(const control::StatusResponse& status) {
  Table table(
      {">WORKER", ">PID", "STATE", ">RESTARTS", "LAST EXIT", ">UP", ">CONNECTIONS", ">RINGS", ">CALLS", ">RSS"});
  for (const auto& worker : status.workers()) {
    const auto& report = worker.report();
    table.add({std::to_string(worker.index()), worker.pid() == 0 ? "-" : std::to_string(worker.pid()), state_of(worker),
               std::to_string(worker.restarts()), worker.last_exit().empty() ? "-" : worker.last_exit(),
               duration_of(worker.up_ms()), std::to_string(report.connections_open()), std::to_string(report.rings()),
               std::to_string(report.calls()), std::to_string(report.rss_bytes() >> 20U) + " MiB"});
  }
  return table.text();
}

/// Each worker has its own connection to an upstream: calls are summed, states that differ are all named.
std::string upstreams_of(const control::StatusResponse& status) {
  struct Sum {
    std::string kind;
    std::set<std::string> states;
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
  };
  std::map<std::string, Sum> sums;
  for (const auto& worker : status.workers()) {
    for (const auto& upstream : worker.report().upstreams()) {
      Sum& sum = sums[upstream.name()];
      sum.kind = upstream.kind();
      sum.states.insert(upstream.state());
      sum.calls += upstream.calls();
      sum.failures += upstream.failures();
    }
  }
  Table table({"UPSTREAM", "KIND", "STATE", ">CALLS", ">FAILURES"});
  for (const auto& [name, sum] : sums) {
    table.add({name, sum.kind, joined(sum.states, "/"), std::to_string(sum.calls), std::to_string(sum.failures)});
  }
  return table.empty() ? "" : '\n' + table.text();
}

/// What a person should look at: connections that were refused, rings that broke the protocol.
std::string refusals_of(const control::StatusResponse& status) {
  std::map<std::string, std::uint64_t> counts;
  for (const auto& [socket, count] : status.refused_peers()) counts["peers refused at " + socket] += count;
  for (const auto& worker : status.workers()) {
    for (const auto& [reason, count] : worker.report().ring_refusals()) counts["rings refused: " + reason] += count;
  }
  std::string text;
  for (const auto& [what, count] : counts) {
    if (count != 0) text += (text.empty() ? "\n" : "") + what + ' ' + std::to_string(count) + '\n';
  }
  return text;
}

/// The last reload, when it was refused.
std::string reload_of(const control::StatusResponse& status) {
  std::string text;
  if (status.last_reload().in_force()) return text;
  for (const auto& fault : status.last_reload().faults()) text += "the last reload was refused: " + fault + '\n';
  return text;
}

}  // namespace

std::string describe(const control::StatusResponse& status) {
  const auto ready = std::count_if(status.workers().begin(), status.workers().end(),
                                   [](const auto& worker) { return worker.state() == control::Worker::STATE_READY; });
  return "ringsided " + status.version() + ", pid " + std::to_string(status.pid()) + ", up " +
         duration_of(status.uptime_ms()) + ", in " + status.runtime_dir() +
         "\ndoors: " + (status.doors().empty() ? "none" : joined(status.doors(), " ")) +
         "\nhealth: " + (status.health().empty() ? "unknown" : status.health()) +
         (status.health_reason().empty() ? "" : " (" + status.health_reason() + ")") +
         "\nworkers: " + std::to_string(ready) + " of " + std::to_string(status.workers_wanted()) + " ready" +
         (status.renewing() ? ", being renewed" : "") + '\n' + reload_of(status) + '\n' + workers_of(status) +
         upstreams_of(status) + refusals_of(status);
}

ExitCode run_status(const StatusCommand& command, std::ostream& out, std::ostream& err) {
  const std::string socket = command.runtime_dir + "/control.sock";
  const auto stub = control::Control::NewStub(operator_channel(socket));
  control::StatusResponse response;
  grpc::ClientContext context;
  set_timeout(context, command.timeout_s);
  const grpc::Status status = stub->Status(&context, control::StatusRequest(), &response);
  if (!status.ok()) {
    err << "ringside: " << complaint_of(status, socket, command.runtime_dir) << '\n';
    return kNobodyAnswers;
  }
  if (!command.json) {
    out << describe(response);
    return kFine;
  }
  google::protobuf::util::JsonPrintOptions format;
  format.add_whitespace = true;
  format.always_print_primitive_fields = true;
  format.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(response, &json, format).ok()) {
    err << "ringside: what the supervisor said has no JSON form; is it of another version?\n";
    return kAnsweredWithError;
  }
  out << json;
  return kFine;
}

}  // namespace ringside::cli
