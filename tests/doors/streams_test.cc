// Answers that come piece by piece, through a whole Ringside and every door.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mcp/sse.h"
#include "tests/doors/recording_server.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 30s;

std::string progress(int steps, int ms, const std::string& token = "\"mine\"") {
  return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","arguments":{"steps":)" +
         std::to_string(steps) + R"(,"ms":)" + std::to_string(ms) + R"(},"_meta":{"progressToken":)" + token + "}}}";
}

Request get(const std::string& session) {
  Request request;
  request.method = "GET";
  request.path = "/mcp";
  request.session_id = session;
  return request;
}

std::string with_stdio_upstream() {
  return R"({"mcpServers": {"demo": {"command": ")" + program("demo_server") + R"(", "args": []}}})";
}

SteadyTime soon() { return std::chrono::steady_clock::now() + kPatience; }

/// Everything that is still to come.
Result<std::string> rest_of(Stream& stream) {
  std::string text;
  while (true) {
    auto piece = stream.read(soon());
    if (!piece.ok()) return piece.error();
    if (!*piece) return text;
    text += **piece;
  }
}

std::vector<std::string> events_of(const std::string& text) {
  std::vector<std::string> events;
  mcp::SseParser parser(64U << 20U);
  const auto take = [&](mcp::SseEvent&& event) {
    // The one that opens a numbered stream says nothing.
    if (!event.data.empty()) events.push_back(std::move(event.data));
  };
  EXPECT_TRUE(parser.feed(text, take).ok());
  return events;
}

TEST(Streams, what_comes_before_an_answer_is_the_same_at_every_door_and_from_every_upstream) {
  const RecordingServer demo;
  for (const std::string& config : {with_http_upstream(demo.url()), with_stdio_upstream()}) {
    const House house({.config = config});
    for (const DoorChoice door : kDoors) {
      const auto client = house.client(door);
      auto stream = client->stream(post(progress(3, 0), open_session(*client)));
      ASSERT_TRUE(stream.ok()) << to_string(door) << ": " << stream.error().message;
      EXPECT_EQ((*stream)->head().status, 200);
      EXPECT_EQ((*stream)->head().headers.get("content-type"), "text/event-stream");
      const auto text = rest_of(**stream);
      ASSERT_TRUE(text.ok()) << to_string(door) << ": " << text.error().message;
      const auto events = events_of(*text);
      ASSERT_EQ(events.size(), 4U) << *text;
      for (std::size_t step = 0; step < 3; ++step) {
        EXPECT_NE(events[step].find(R"("progressToken":"mine")"), std::string::npos) << events[step];
        EXPECT_NE(events[step].find(R"("progress":)" + std::to_string(step + 1)), std::string::npos) << events[step];
      }
      EXPECT_NE(events[3].find(R"("id":1)"), std::string::npos) << events[3];
      EXPECT_NE(events[3].find("took 3 steps"), std::string::npos) << events[3];
    }
  }
}

TEST(Streams, an_answer_that_nothing_comes_before_is_plain_json) {
  const House house;
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    auto stream = client->stream(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
    ASSERT_TRUE(stream.ok()) << stream.error().message;
    EXPECT_EQ((*stream)->head().headers.get("content-type"), "application/json");
    EXPECT_EQ(rest_of(**stream).value(), R"({"jsonrpc":"2.0","id":1,"result":{}})") << to_string(door);
  }
}

TEST(Streams, a_large_answer_behind_its_progress_comes_whole) {
  const House house({.config = with_stdio_upstream()});
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    auto stream = client->stream(post(
        R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"blob","arguments":{"bytes":20000000}}})",
        open_session(*client)));
    ASSERT_TRUE(stream.ok()) << stream.error().message;
    const auto text = rest_of(**stream);
    ASSERT_TRUE(text.ok()) << text.error().message;
    EXPECT_GT(text->size(), 20'000'000U) << to_string(door);
    EXPECT_TRUE(text->ends_with("}"));
  }
}

TEST(Streams, giving_a_stream_up_reaches_the_upstream_except_over_http) {
  const RecordingServer demo;
  const House house({.config = with_http_upstream(demo.url())});
  std::size_t told = 0;
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc}) {
    const auto client = house.client(door);
    {
      auto stream = client->stream(post(progress(1000, 50), open_session(*client)));
      ASSERT_TRUE(stream.ok()) << stream.error().message;
      const auto first = (*stream)->read(soon());  // long before the answer
      ASSERT_TRUE(first.ok() && *first) << to_string(door);
    }
    ++told;
    EXPECT_TRUE(eventually([&] { return demo.count("notifications/cancelled") == told; })) << to_string(door);
  }
}

TEST(Streams, a_deadline_reaches_the_upstream) {
  const RecordingServer demo;
  const House house({.config = with_http_upstream(demo.url())});
  std::size_t told = 0;
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc}) {
    const auto client = house.client(door);
    auto stream = client->stream(post(progress(1000, 50), open_session(*client)), {.timeout = 400ms});
    ASSERT_TRUE(stream.ok()) << to_string(door) << ": " << stream.error().message;
    const auto text = rest_of(**stream);
    // Whoever is first: the client gives up, or the runtime answers that time is up.
    EXPECT_TRUE(text.ok() || text.error().code == Code::kTimeout) << to_string(door);
    ++told;
    EXPECT_TRUE(eventually([&] { return demo.count("notifications/cancelled") == told; })) << to_string(door);
  }
}

TEST(Streams, a_worker_that_dies_before_the_head_costs_nothing_and_after_it_the_stream) {
  const RecordingServer demo;
  const House house({.config = with_http_upstream(demo.url()), .workers = 1});
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    const std::size_t before = demo.count("\"progress\"");
    std::thread killer([&] {
      EXPECT_TRUE(eventually([&] { return demo.count("\"progress\"") > before; }));
      house.kill_worker(house.worker_pids().at(0));
    });
    auto stream = client->stream(post(progress(3, 700), session));
    killer.join();
    ASSERT_TRUE(stream.ok()) << to_string(door) << ": " << stream.error().message;
    ASSERT_TRUE((*stream)->read(soon()).ok());
    house.kill_worker(house.worker_pids().at(0));
    const auto text = rest_of(**stream);
    ASSERT_FALSE(text.ok()) << to_string(door) << ": " << *text;
    EXPECT_EQ(text.error().code, Code::kUnavailable) << to_string(door);
    EXPECT_EQ(client->call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})", session))->status, 200);
  }
}

TEST(Streams, who_does_not_read_holds_up_nobody_else_and_loses_nothing) {
  const RecordingServer demo;
  const House house({.config = with_http_upstream(demo.url()), .workers = 1});
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    constexpr int kSteps = 10'000;
    auto stream = client->stream(post(progress(kSteps, 0), session));
    ASSERT_TRUE(stream.ok()) << stream.error().message;
    for (int i = 0; i < 50; ++i) {
      const auto answer = client->call(post(
          R"({"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hi"}}})",
          session));
      ASSERT_TRUE(answer.ok() && answer->status == 200) << to_string(door);
    }
    const auto text = rest_of(**stream);
    ASSERT_TRUE(text.ok()) << to_string(door) << ": " << text.error().message;
    const auto events = events_of(*text);
    ASSERT_EQ(events.size(), kSteps + 1U) << to_string(door);
    EXPECT_NE(events[kSteps - 1].find(R"("progress":10000)"), std::string::npos);
  }
}

TEST(Streams, a_session_is_listened_to_until_it_ends) {
  const House house;
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    auto stream = client->stream(get(session));
    ASSERT_TRUE(stream.ok()) << to_string(door) << ": " << stream.error().message;
    EXPECT_EQ((*stream)->head().status, 200) << to_string(door);
    // By another client, and so perhaps at another worker.
    Request farewell = get(session);
    farewell.method = "DELETE";
    EXPECT_EQ(house.client(DoorChoice::kRing)->call(farewell)->status, 204);
    const auto text = rest_of(**stream);
    ASSERT_TRUE(text.ok()) << to_string(door) << ": " << text.error().message;
    EXPECT_TRUE(events_of(*text).empty()) << *text;
    EXPECT_EQ(client->stream(get(session)).value()->head().status, 404);
    EXPECT_EQ(client->stream(get("")).value()->head().status, 405);
  }
}

TEST(Streams, a_caller_that_takes_events_but_no_stream_gets_the_whole_text) {
  const House house({.config = with_stdio_upstream()});
  std::map<std::vector<std::string>, int> texts;
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    Request request = post(progress(2, 0), open_session(*client));
    request.headers.set("accept", "application/json, text/event-stream");
    const auto answer = client->call(std::move(request));
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->headers.get("content-type"), "text/event-stream") << to_string(door);
    EXPECT_EQ(events_of(answer->body).size(), 3U) << answer->body;
    ++texts[events_of(answer->body)];
  }
  EXPECT_EQ(texts.size(), 1U);
}

}  // namespace
}  // namespace ringside::test
