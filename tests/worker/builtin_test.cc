// The builtin tools, asked as the runtime asks them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "mcp/envelope.h"
#include "worker/upstream/upstreams.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;
using worker::Upstream;
using worker::UpstreamRequest;

class Asking {
 public:
  std::future<Result<std::string>> send(const std::string& method, const std::string& params, std::uint64_t id = 5,
                                        SteadyTime deadline = SteadyTime::max()) const {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    auto future = promise->get_future();
    upstream->send(
        {R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")" + method + R"(","params":)" + params + "}",
         id, deadline},
        [promise](Result<std::string> answer) { promise->set_value(std::move(answer)); });
    return future;
  }
  [[nodiscard]] std::string call(const std::string& tool, const std::string& arguments) const {
    return send("tools/call", R"({"name":")" + tool + R"(","arguments":)" + arguments + "}").get().value();
  }
  std::unique_ptr<Upstream> upstream = worker::make_builtin_upstream("b");
};

std::string text(const std::string& raw) {
  return R"({"jsonrpc":"2.0","id":5,"result":{"content":[{"type":"text","text":)" + raw + "}]}}";
}

TEST(Builtin, it_lists_its_tools_and_says_what_it_is) {
  const Asking asking;
  EXPECT_THAT(asking.send("tools/list", "{}").get().value(), HasSubstr(R"("name":"echo")"));
  EXPECT_THAT(asking.send("prompts/list", "{}").get().value(), HasSubstr("-32601"));
  const auto status = asking.upstream->status();
  EXPECT_EQ(status.name, "b");
  EXPECT_EQ(status.kind, "builtin");
  EXPECT_EQ(status.calls, 2U);
}

TEST(Builtin, echo_answers_a_message_by_its_very_bytes) {
  const Asking asking;
  EXPECT_EQ(asking.call("echo", R"({"x":1,"message":"a\u0062\n\/"})"), text(R"("a\u0062\n\/")"));
}

TEST(Builtin, echo_without_a_message_answers_its_arguments_as_they_came) {
  const Asking asking;
  const std::string arguments = R"({"b":1e2,"a":12345678901234567890,"id":"1"})";
  EXPECT_EQ(asking.call("echo", arguments), text(mcp::encode_string(arguments)));
  EXPECT_EQ(asking.call("echo", R"({"message":3})"), text(R"("{\"message\":3}")"));
  EXPECT_EQ(asking.send("tools/call", R"({"name":"echo"})").get().value(), text(R"("{}")"));
}

TEST(Builtin, blob_answers_so_many_bytes_and_not_too_many) {
  const Asking asking;
  EXPECT_EQ(asking.call("blob", R"({"bytes":3})"), text(R"("xxx")"));
  EXPECT_EQ(asking.call("blob", R"({"bytes":0})"), text(R"("")"));
  for (const std::string bytes : {"-1", "1.5", "67108865", "\"3\"", "99999999999999999999999"}) {
    EXPECT_THAT(asking.call("blob", R"({"bytes":)" + bytes + "}"), HasSubstr("-32602")) << bytes;
  }
  EXPECT_THAT(asking.call("nobody", "{}"), HasSubstr("-32602"));
}

TEST(Builtin, sleep_ends_in_time_or_by_its_deadline_or_by_a_cancel) {
  const Asking asking;
  EXPECT_EQ(asking.call("sleep", R"({"ms":1})"), text(R"("slept 1 ms")"));
  EXPECT_THAT(asking.call("sleep", R"({"ms":-1})"), HasSubstr("-32602"));
  const std::string params = R"({"name":"sleep","arguments":{"ms":3600000}})";
  auto late = asking.send("tools/call", params, 6, system_clock().now());
  EXPECT_EQ(late.get().error().code, Code::kTimeout);
  auto first = asking.send("tools/call", params, 7);
  auto second = asking.send("tools/call", params, 8);
  asking.upstream->cancel(8);
  EXPECT_EQ(second.get().error().code, Code::kCancelled);
  asking.upstream->cancel(99);
  EXPECT_EQ(first.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

TEST(Builtin, whoever_sleeps_when_it_ends_is_told) {
  Asking asking;
  auto sleeping = asking.send("tools/call", R"({"name":"sleep","arguments":{"ms":3600000}})");
  asking.upstream.reset();
  EXPECT_EQ(sleeping.get().error().code, Code::kCancelled);
}

}  // namespace
}  // namespace ringside::test
