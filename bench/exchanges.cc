#include "bench/exchanges.h"

#include <algorithm>
#include <random>
#include <utility>

namespace ringside::bench {
namespace {

constexpr std::size_t kVariants = 8;
/// Bytes of a call around its argument.
constexpr std::size_t kEnvelope = 110;

std::string filler(std::size_t bytes, std::mt19937_64& random) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789  ";
  std::string text(bytes, ' ');
  for (char& each : text) each = kLetters[random() % 64];
  return text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char each : text) {
    if (each == '"' || each == '\\') out.push_back('\\');
    out.push_back(each);
  }
  return out + '"';
}

Exchange ping(std::size_t bytes, std::size_t variant) {
  const std::string id = std::to_string(1000 + variant * 7);
  std::string request = variant % 2 == 0 ? R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"ping"})"
                                         : R"({"method":"ping","id":)" + id + R"(,"jsonrpc":"2.0"})";
  if (request.size() < bytes) request.append(bytes - request.size(), ' ');
  return {std::move(request), R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{}})"};
}

/// A call of a tool that answers with `text` (as JSON).
Exchange tool_call(std::size_t variant, const std::string& tool, const std::string& arguments,
                   const std::string& text) {
  const std::string id = "\"call-" + std::to_string(variant) + "\"";
  const std::string tail = variant % 2 == 0 ? "" : R"(,"method":"tools/call")";
  const std::string head = variant % 2 == 0 ? R"("method":"tools/call",)" : "";
  return {R"({"jsonrpc":"2.0",)" + head + R"("id":)" + id + R"(,"params":{"name":")" + tool + R"(","arguments":)" +
              arguments + "}" + tail + "}",
          R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"content":[{"type":"text","text":)" + text + "}]}}"};
}

/// An object of about `bytes` made of numbers, short strings and nested objects.
std::string small_values(std::size_t bytes, std::mt19937_64& random) {
  std::string out = R"({"rows":[)";
  while (out.size() + 100 < bytes) {
    const std::string number = std::to_string(random() % 1'000'000);
    out += R"({"id":)" + number + R"(,"name":")" + filler(4 + random() % 12, random) + R"(","price":)" +
           std::to_string(random() % 1000) + "." + std::to_string(10 + random() % 90) + R"(,"tags":["a","b)" + number +
           R"("],"in":{"stock":)" + (random() % 2 == 0 ? "true" : "false") + R"(,"note":null}},)";
  }
  return out + R"({}]})";
}

}  // namespace

const char* to_string(Work work) {
  switch (work) {
    case Work::kRuntime:
      return "runtime";
    case Work::kSmallValues:
      return "runtime, small values";
    case Work::kSmallValuesIn:
      return "runtime, small values in";
    case Work::kTinyAnswer:
      return "tiny answer";
    case Work::kSleepTool:
      return "sleep tool";
    case Work::kTransportEcho:
      break;
  }
  return "transport echo";
}

std::vector<Exchange> exchanges(Work work, std::size_t bytes, const std::string& tool) {
  std::mt19937_64 random(bytes);
  std::vector<Exchange> all;
  const std::size_t inside = bytes - std::min(bytes, kEnvelope);
  for (std::size_t i = 0; i < kVariants; ++i) {
    switch (work) {
      case Work::kTransportEcho: {
        const std::string body = filler(bytes, random);
        all.push_back({body, body});
        break;
      }
      case Work::kTinyAnswer:
        all.push_back({filler(bytes, random), R"({"detail":"Not Found"})"});
        break;
      case Work::kRuntime: {
        const std::string text = quoted(filler(inside, random));
        all.push_back(bytes <= 64 ? ping(bytes, i) : tool_call(i, tool, R"({"message":)" + text + "}", text));
        break;
      }
      case Work::kSmallValues: {
        const std::string arguments = small_values(inside, random);
        all.push_back(tool_call(i, tool, arguments, quoted(arguments)));
        break;
      }
      case Work::kSmallValuesIn:
        all.push_back(
            tool_call(i, tool, R"({"message":"ok","values":)" + small_values(inside, random) + "}", R"("ok")"));
        break;
      case Work::kSleepTool:
        all.push_back(
            tool_call(i, "sleep", R"({"ms":0,"extra":")" + filler(inside, random) + "\"}", R"("slept 0 ms")"));
        break;
    }
  }
  return all;
}

std::string_view path_of(Work work) {
  if (work == Work::kTransportEcho) return "/_ringside/echo";
  return work == Work::kTinyAnswer ? "/_ringside/nothing" : "/mcp";
}

int status_of(Work work) { return work == Work::kTinyAnswer ? 404 : 200; }

}  // namespace ringside::bench
