#include "client/cli/events.h"

#include <google/protobuf/util/json_util.h>

#include <array>
#include <ctime>
#include <ostream>

#include "client/cli/operator_channel.h"
#include "ringside/control/v1/control.grpc.pb.h"

namespace ringside::cli {
namespace {

namespace control = ringside::control::v1;

/// ISO 8601, UTC, with milliseconds.
std::string time_of(std::uint64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string ms = std::to_string(1000 + unix_ms % 1000);
  return std::string(text.data()) + "." + ms.substr(1) + "Z";
}

std::string json_of(const control::Event& event) {
  google::protobuf::util::JsonPrintOptions format;
  format.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(event, &json, format).ok()) return "{}";
  return json;
}

}  // namespace

std::string describe(const control::Event& event) {
  std::string line = time_of(event.unix_ms()) + " " + event.kind();
  if (event.has_worker()) line += " " + std::to_string(event.worker());
  if (!event.to().empty()) line += " " + event.to();
  line += ": " + event.text();
  if (event.pid() != 0) line += " pid=" + std::to_string(event.pid());
  for (const auto& call : event.crash().calls()) {
    line += "\n    " + (call.method().empty() ? "?" : call.method()) + " door=" + call.door() +
            " age_ms=" + std::to_string(call.age_ms()) + (call.trace().empty() ? "" : " trace=" + call.trace());
  }
  return line;
}

ExitCode run_events(const EventsCommand& command, std::ostream& out, std::ostream& err) {
  const std::string socket = command.runtime_dir + "/control.sock";
  const auto stub = control::Control::NewStub(operator_channel(socket));
  control::EventsRequest request;
  request.set_follow(command.follow);
  while (true) {
    grpc::ClientContext context;
    if (!command.follow) set_timeout(context, 5);
    const std::uint64_t before = request.after();
    const auto reader = stub->Events(&context, request);
    for (control::Event event; reader->Read(&event);) {
      out << (command.json ? json_of(event) : describe(event)) << std::endl;
      request.set_after(event.sequence());
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) return kFine;
    // A supervisor that changed its program cut the stream off; it takes it up where it was.
    if (command.follow && request.after() > before) continue;
    err << "ringside: " << complaint_of(status, socket, command.runtime_dir) << '\n';
    return kNobodyAnswers;
  }
}

}  // namespace ringside::cli
