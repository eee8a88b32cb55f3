#include "client/cli/message.h"

#include <array>
#include <fstream>
#include <istream>
#include <nlohmann/json.hpp>

#include "mcp/envelope.h"
#include "mcp/session.h"

namespace ringside::cli {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

/// By read(), which sets badbit where an iterator would throw (a folder opens like a file, and cannot be read).
std::string read_all(std::istream& in) {
  std::string all;
  std::array<char, std::size_t{64} * 1024> part{};
  do {
    in.read(part.data(), part.size());
    all.append(part.data(), static_cast<std::size_t>(in.gcount()));
  } while (in);
  return all;
}

/// Where and why `text` is no JSON, in the words of a parser that is better at saying so than ours is.
std::string reason_of(const std::string& text) {
  try {
    [[maybe_unused]] const auto parsed = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& fault) {
    const std::string_view what = fault.what();
    const auto said = what.find("] ");
    return ": " + std::string(said == std::string_view::npos ? what : what.substr(said + 2));
  }
  return " (nested too deep, or not UTF-8)";
}

}  // namespace

TextOrFault read_params(const std::string& argument, std::istream& in) {
  if (argument.empty()) return {};
  std::string text;
  std::string from = "PARAMS";
  if (argument == "-") {
    text = read_all(in);
    from = "standard input";
  } else if (argument.starts_with('@')) {
    from = argument.substr(1);
    std::ifstream file(from, std::ios::binary);
    if (file.is_open()) text = read_all(file);
    if (!file.is_open() || file.bad()) {
      return {{}, "cannot read " + from + "; give the params as JSON, @FILE, or - for standard input"};
    }
  } else {
    text = argument;
  }
  text = trimmed(text);
  if (text.empty()) return {{}, from + " is empty; give a JSON object, or leave PARAMS out"};
  return {std::move(text), {}};
}

bool is_notification(std::string_view method) { return method.starts_with("notifications/"); }

TextOrFault make_message(const std::string& method, const std::string& params) {
  std::string message = R"({"jsonrpc":"2.0",)";
  if (!is_notification(method)) message += R"("id":1,)";
  message += R"("method":)" + mcp::encode_string(method);
  if (!params.empty()) message += R"(,"params":)" + params;
  message += '}';
  if (params.empty()) return {std::move(message), {}};
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  if (reader.read(message, envelope) == mcp::EnvelopeFault::kParse) {
    return {{}, "PARAMS is not valid JSON" + reason_of(params)};
  }
  if ((params.front() != '{' && params.front() != '[') || envelope.params.size() != params.size()) {
    return {{}, R"(PARAMS must be one JSON object, like {"name":"echo"})"};
  }
  return {std::move(message), {}};
}

std::string initialize_params() {
  return R"({"protocolVersion":")" + std::string(mcp::kProtocolVersions[0]) +
         R"(","capabilities":{},"clientInfo":{"name":"ringside","version":")" RINGSIDE_VERSION R"("}})";
}

bool is_error(const mcp::Response& response) {
  if (response.status >= 400) return true;
  if (response.body.empty()) return false;
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  if (reader.read(response.body, envelope) != mcp::EnvelopeFault::kNone || !envelope.error.empty()) return true;
  return mcp::member(envelope.result, "isError") == "true";
}

}  // namespace ringside::cli
