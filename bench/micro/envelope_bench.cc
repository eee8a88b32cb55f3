// What one message costs to validate and read.

#include <benchmark/benchmark.h>

#include <string>

#include "mcp/envelope.h"
#include "mcp/message.h"

namespace {

using namespace ringside::mcp;  // NOLINT(google-build-using-namespace)

void read_message(benchmark::State& state, const std::string& text) {
  const std::string body = padded_copy(text);
  EnvelopeReader reader;
  Envelope envelope;
  for (auto unused : state) {
    if (reader.read(body, envelope) != EnvelopeFault::kNone) state.SkipWithError("the message is not valid");
    benchmark::DoNotOptimize(envelope);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(body.size()));
}

void read_ping(benchmark::State& state) { read_message(state, R"({"jsonrpc":"2.0","id":1,"method":"ping"})"); }

void read_one_large_string(benchmark::State& state) {
  read_message(state,
               R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":")" +
                   std::string(1 << 20, 'x') + R"("}}})");
}

void read_many_small_values(benchmark::State& state) {
  std::string values = "0";
  for (int i = 1; values.size() < 1 << 20; ++i) values += "," + std::to_string(i);
  read_message(state, R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"v":[)" +
                          values + "]}}}");
}

BENCHMARK(read_ping);
BENCHMARK(read_one_large_string);
BENCHMARK(read_many_small_values);

}  // namespace
