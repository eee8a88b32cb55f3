#include "examples/demo_server/tools.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace ringside::demo {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::int64_t kMaxSleepMs = 10LL * 60 * 1000;
constexpr std::int64_t kMaxBlobBytes = 64LL << 20U;
constexpr std::int64_t kMaxSteps = 10'000;
constexpr int kToolErrorCode = -32001;

/// The value as a whole number, if it is one that 63 bits and a sign can hold.
std::optional<std::int64_t> exact(const json& value) {
  if (!value.is_number_integer()) return {};
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) return {};
  return value.get<std::int64_t>();
}

/// The number from 0 to `most` under `key`, or what stands for it when there is none.
std::optional<std::int64_t> whole(const json& arguments, const char* key, std::int64_t most,
                                  std::optional<std::int64_t> otherwise = {}) {
  const auto found = arguments.find(key);
  if (found == arguments.end()) return otherwise;
  const auto value = exact(*found);
  return value && *value >= 0 && *value <= most ? value : std::nullopt;
}

void echo(const json& arguments, const std::shared_ptr<Call>& call, Timers&) {
  const auto message = arguments.find("message");
  if (message == arguments.end() || !message->is_string()) return call->finish("message must be a string", true);
  call->finish(message->get<std::string>());
}

void add(const json& arguments, const std::shared_ptr<Call>& call, Timers&) {
  const auto a = arguments.find("a");
  const auto b = arguments.find("b");
  if (a == arguments.end() || b == arguments.end() || !a->is_number() || !b->is_number()) {
    return call->finish("a and b must be numbers", true);
  }
  const auto whole_a = exact(*a);
  const auto whole_b = exact(*b);
  std::int64_t sum = 0;
  if (whole_a && whole_b && !__builtin_add_overflow(*whole_a, *whole_b, &sum)) {
    return call->finish(std::to_string(sum));
  }
  call->finish(json(a->get<double>() + b->get<double>()).dump());
}

void sleep(const json& arguments, const std::shared_ptr<Call>& call, Timers& timers) {
  const auto ms = whole(arguments, "ms", kMaxSleepMs);
  if (!ms) return call->finish("ms must be a whole number from 0 to 600000", true);
  timers.after(milliseconds(*ms), [call, ms] { call->finish("slept " + std::to_string(*ms) + " ms"); });
}

void blob(const json& arguments, const std::shared_ptr<Call>& call, Timers&) {
  constexpr std::string_view kPattern = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  const auto bytes = whole(arguments, "bytes", kMaxBlobBytes);
  if (!bytes) return call->finish("bytes must be a whole number from 0 to 67108864", true);
  std::string text;
  text.reserve(static_cast<std::size_t>(*bytes));
  while (text.size() < static_cast<std::size_t>(*bytes)) {
    text.append(kPattern.substr(0, static_cast<std::size_t>(*bytes) - text.size()));
  }
  call->finish(text);
}

void take_steps(const std::shared_ptr<Call>& call, Timers& timers, milliseconds pause, int done, int total) {
  if (call->over()) return;
  if (done > 0) call->progress(done, total);
  if (done == total) return call->finish("took " + std::to_string(total) + " steps");
  timers.after(pause, [call, &timers, pause, done, total] { take_steps(call, timers, pause, done + 1, total); });
}

void progress(const json& arguments, const std::shared_ptr<Call>& call, Timers& timers) {
  const auto steps = whole(arguments, "steps", kMaxSteps);
  const auto pause = whole(arguments, "ms", kMaxSleepMs, 0);
  if (!steps || !pause) return call->finish("steps must be a whole number from 0 to 10000, ms one up to 600000", true);
  take_steps(call, timers, milliseconds(*pause), 0, static_cast<int>(*steps));
}

void fail(const json& arguments, const std::shared_ptr<Call>& call, Timers&) {
  if (arguments.value("mode", json()) == "error") return call->fail(kToolErrorCode, "failed as asked");
  call->finish("failed as asked", true);
}

constexpr std::array<Tool, 6> kTools = {{
    {"echo", "Answers with the message",
     R"({"type":"object","properties":{"message":{"type":"string"}},"required":["message"]})", true, echo},
    {"add", "Adds two numbers",
     R"({"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]})", true, add},
    {"sleep", "Answers after some milliseconds",
     R"({"type":"object","properties":{"ms":{"type":"integer","minimum":0}},"required":["ms"]})", false, sleep},
    {"blob", "Answers with that many bytes of text",
     R"({"type":"object","properties":{"bytes":{"type":"integer","minimum":0}},"required":["bytes"]})", true, blob},
    {"progress", "Reports its progress at every step (ms apart), then answers",
     R"({"type":"object","properties":{"steps":{"type":"integer","minimum":0},"ms":{"type":"integer","minimum":0}},)"
     R"("required":["steps"]})",
     true, progress},
    {"fail", "Fails: as a result that says so or, with mode \"error\", as a JSON-RPC error",
     R"({"type":"object","properties":{"mode":{"enum":["result","error"]}}})", false, fail},
}};

}  // namespace

std::span<const Tool> tools() { return kTools; }

}  // namespace ringside::demo
