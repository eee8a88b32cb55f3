// 64 threads at once, on the real store and the builtin upstream: every call is answered, with what is its own.

#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/fakes.h"
#include "worker/upstream/upstreams.h"

namespace ringside::test {
namespace {

constexpr int kThreads = 64;
constexpr int kRounds = 20;

/// What one client does, again and again; how many answers were not the expected ones.
int live(worker::Runtime& runtime, int number) {
  int wrong = 0;
  const auto ask = [&](mcp::Request request) {
    auto call = std::make_shared<TestCall>(std::move(request));
    runtime.serve(call);
    return call->response();
  };
  for (int round = 0; round < kRounds; ++round) {
    const std::string id = std::to_string(number * 1000 + round);
    const auto opened =
        ask(post(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})"));
    const std::string session(opened.headers.get("mcp-session-id"));
    wrong += session.size() == 36 ? 0 : 1;
    wrong += ask(post(kPing, session)).status == 200 ? 0 : 1;
    wrong += ask(post(kList, session)).status == 200 ? 0 : 1;
    const auto echo = ask(post(tool_call("echo", R"({"message":")" + id + R"("})", id), session));
    const std::string expected =
        R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"content":[{"type":"text","text":")" + id + R"("}]}})";
    wrong += echo.body == expected ? 0 : 1;
    auto sleeper = std::make_shared<TestCall>(post(tool_call("sleep", R"({"ms":60000})"), session));
    runtime.serve(sleeper);
    sleeper->cancel();
    wrong += sleeper->response().status == 502 ? 0 : 1;
    mcp::Request end;
    end.method = "DELETE";
    end.session_id = session;
    wrong += ask(end).status == 204 ? 0 : 1;
    wrong += ask(post(kPing, session)).status == 404 ? 0 : 1;
  }
  return wrong;
}

TEST(Threads, sixty_four_at_once_get_the_answers_that_are_theirs) {
  const TempDir folder;
  auto store = worker::open_sqlite_stores(folder.path(), {});
  ASSERT_TRUE(store.ok());
  std::atomic<std::uint64_t> epoch{1};
  worker::RuntimeOptions options;
  options.federation.ttl = std::chrono::milliseconds(1);  // so that fetches and readers of the list meet
  std::vector<std::unique_ptr<Upstream>> upstreams;
  upstreams.push_back(worker::make_builtin_upstream("builtin"));
  worker::Runtime runtime(options, system_clock(), std::move(store).value(), std::move(upstreams), epoch,
                          [&](const std::function<void()>& done) {
                            epoch.fetch_add(1);
                            done();
                          });
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] { wrong += live(runtime, number); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(runtime.stats().under_way, 0U);
  EXPECT_EQ(runtime.stats().calls, static_cast<std::uint64_t>(kThreads * kRounds * 7));
}

}  // namespace
}  // namespace ringside::test
