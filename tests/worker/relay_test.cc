// Workers that share one store, each with its own upstream and its own peer socket: what arrives at one of them is
// served where its session lives.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "base/unix_socket.h"
#include "mcp/sse.h"
#include "tests/worker/fakes.h"
#include "worker/peers/http_relay.h"
#include "worker/peers/peer_door.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kNote = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";

/// What workers of one house have in common.
struct Common {
  TempDir folder;
  std::shared_ptr<StoreScript> store = std::make_shared<StoreScript>();
};

/// A worker whose upstream has its name, and one tool, "t".
class Worker {
 public:
  Worker(const Common& common, const std::string& name) : upstream(bench.upstream(name, {"t"})) {
    upstream->introduction = R"({"capabilities":{"tools":{},"resources":{}}})";
    bench.store = common.store;
    bench.events = worker::open_sqlite_events(common.folder.file("events.db"), {}).value();
    door_ = worker::PeerDoor::open(folder_.path()).value();
    bench.options.home = door_->address();
    bench.options.relay = std::make_shared<worker::HttpRelay>();
    bench.options.id_seed = std::hash<std::string>()(name);
    door_->serve(bench.start());
  }

  [[nodiscard]] std::string home() const { return bench.options.home; }
  /// Nobody reaches it any more, and what came from others has lost its connection. As after SIGKILL, its socket stays.
  void die() {
    const std::string path = home().substr(home().find('|') + 1);
    door_.reset();
    EXPECT_TRUE(listen_at(path, SocketKind::kStream).ok());  // bound, and closed at once
  }
  std::shared_ptr<TestCall> call(const std::string& session, const std::string& id = "1", bool stream = true) {
    return send(tool_call("t", "{}", id), session, stream);
  }
  std::shared_ptr<TestCall> send(std::string_view body, const std::string& session, bool stream = false) {
    mcp::Request request = post(body, session);
    request.stream = stream;
    return bench.serve(std::move(request));
  }
  std::shared_ptr<TestCall> listen(const std::string& session, const std::string& last_event_id = {}) {
    mcp::Request request;
    request.method = "GET";
    request.session_id = session;
    request.stream = true;
    if (!last_event_id.empty()) request.headers.set("last-event-id", last_event_id);
    return bench.serve(std::move(request));
  }
  /// How many calls wait at its upstream.
  [[nodiscard]] std::size_t held() const {
    const std::lock_guard lock(upstream->mutex);
    return upstream->held.size();
  }
  void hold() {
    const std::lock_guard lock(upstream->mutex);
    upstream->hold_calls = true;
  }

  Bench bench;
  const std::shared_ptr<UpstreamScript> upstream;

 private:
  TempDir folder_;  // addresses name the process: each needs a folder of its own
  std::unique_ptr<worker::PeerDoor> door_;
};

std::vector<mcp::SseEvent> events_of(const std::string& text) {
  std::vector<mcp::SseEvent> events;
  mcp::SseParser parser(1U << 20U);
  EXPECT_TRUE(parser.feed(text, [&](mcp::SseEvent&& event) { events.push_back(std::move(event)); }).ok());
  return events;
}

/// Two workers, and a session that lives in the first.
class Relayed : public ::testing::Test {
 protected:
  Relayed() : one_(common_, "one"), two_(common_, "two") {
    session_ = one_.bench.open_session({}, "2025-11-25", R"({"elicitation":{}})");
    EXPECT_EQ(one_.call(session_)->response().status, 200);
    EXPECT_EQ(home(), one_.home());
  }
  std::string home() {
    const std::lock_guard lock(common_.store->mutex);
    return common_.store->records.at(session_).home;
  }

  Common common_;
  Worker one_;
  Worker two_;
  std::string session_;
};

TEST_F(Relayed, a_call_that_arrives_elsewhere_is_served_where_its_session_lives) {
  for (const bool stream : {false, true}) {
    const auto call = two_.call(session_, R"("x")", stream);
    EXPECT_EQ(call->response().status, 200);
    EXPECT_EQ(call->response().body, R"({"jsonrpc":"2.0","id":"x","result":{"from":"one"}})");
  }
  EXPECT_EQ(two_.upstream->last().message.find("tools/call"), std::string::npos);
  EXPECT_EQ(common_.store->claims, 1);
}

TEST_F(Relayed, what_comes_before_the_answer_comes_at_once_and_as_it_was_numbered) {
  one_.hold();
  const auto call = two_.call(session_);
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  one_.upstream->say(std::string(kNote));
  ASSERT_TRUE(eventually([&] { return call->text().find("hi") != std::string::npos; }));
  EXPECT_FALSE(call->answered());
  one_.upstream->release();
  const auto events = events_of(call->response().body);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_TRUE(events[1].id->ends_with("-1"));
  EXPECT_THAT(events[2].data, HasSubstr(R"("from":"one")"));
}

TEST_F(Relayed, a_caller_that_reads_slowly_loses_nothing) {
  one_.hold();
  const auto call = two_.call(session_);
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  call->read(worker::Written::kSlow);
  constexpr std::size_t kNotes = 200;
  for (std::size_t i = 0; i < kNotes; ++i) one_.upstream->say(std::string(kNote));
  one_.upstream->release();
  ASSERT_TRUE(eventually([&] {
    call->make_room();
    return call->answered();
  }));
  EXPECT_EQ(events_of(call->response().body).size(), kNotes + 2);
}

TEST_F(Relayed, a_question_is_answered_from_any_worker) {
  one_.hold();
  const auto call = two_.call(session_);
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  int raw_id = 70;
  for (Worker* const answers_at : {&one_, &two_}) {
    const std::size_t before = events_of(call->text()).size();
    ASSERT_TRUE(one_.upstream->ask_amid("elicitation/create", std::to_string(++raw_id)));
    ASSERT_TRUE(eventually([&] { return events_of(call->text()).size() > std::max<std::size_t>(before, 1); }));
    const std::string id(*mcp::member(events_of(call->text()).back().data, "id"));
    const std::string answer = R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"action":"accept"}})";
    EXPECT_EQ(answers_at->send(answer, session_)->response().status, 202);
    EXPECT_EQ(one_.upstream->replies.back().second,
              R"({"jsonrpc":"2.0","id":)" + std::to_string(raw_id) + R"(,"result":{"action":"accept"}})");
    EXPECT_EQ(answers_at->send(answer, session_)->response().status, 400) << "it has been answered";
  }
  EXPECT_TRUE(two_.upstream->replies.empty());
  one_.upstream->release();
  EXPECT_TRUE(call->response().body.find(R"("from":"one")") != std::string::npos);
}

TEST_F(Relayed, a_cancellation_that_a_client_sends_anywhere_reaches_the_upstream) {
  one_.hold();
  const auto call = two_.call(session_, "7");
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  const std::uint64_t id = one_.upstream->last().id;
  const auto told =
      two_.send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}})", session_);
  EXPECT_EQ(told->response().status, 202);
  EXPECT_EQ(one_.upstream->cancelled, std::vector<std::uint64_t>{id});
  EXPECT_EQ(call->response().body, "") << "no answer comes to what was cancelled";
}

TEST_F(Relayed, a_caller_that_gives_up_at_any_moment_is_told_to_the_home) {
  one_.hold();
  std::vector<std::shared_ptr<TestCall>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(two_.call(session_, std::to_string(i), i % 2 == 0));
    if (i % 10 == 9) {
      EXPECT_TRUE(eventually([&] { return one_.held() > 0; }));
    }
    calls.back()->cancel();
  }
  // None waits for an upstream that never answers.
  for (const auto& call : calls) EXPECT_TRUE(eventually([&] { return call->answered(); }));
  EXPECT_EQ(one_.held(), 0U);
}

TEST_F(Relayed, a_client_resumes_at_another_worker_and_hears_nothing_twice) {
  one_.hold();
  const auto call = one_.call(session_);
  one_.upstream->say(std::string(kNote));
  const std::string id = *events_of(call->text()).front().id;
  const auto again = two_.listen(session_, id);
  ASSERT_TRUE(eventually([&] { return again->text().find("hi") != std::string::npos; }));
  one_.upstream->say(std::string(kNote));
  one_.upstream->release();
  const auto events = events_of(again->response().body);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_TRUE(events[0].id->ends_with("-1"));
  EXPECT_TRUE(events[1].id->ends_with("-2"));
  EXPECT_THAT(events[2].data, HasSubstr(R"("from":"one")"));
}

TEST_F(Relayed, a_listener_at_another_worker_hears_until_it_goes_away) {
  const auto listener = two_.listen(session_);
  ASSERT_TRUE(eventually([&] { return listener->begun(); }));
  EXPECT_EQ(one_.bench.runtime->meters().listening, 1U);
  one_.hold();
  const auto call = one_.call(session_, "2", false);
  one_.upstream->sink->notice(0, one_.upstream->last().persona, "notifications/message", std::string(kNote));
  EXPECT_TRUE(eventually([&] { return listener->text().find("hi") != std::string::npos; }));
  listener->cancel();
  EXPECT_TRUE(eventually([&] { return one_.bench.runtime->meters().listening == 0; }));
  EXPECT_TRUE(eventually([&] { return listener->answered(); }));
  one_.upstream->release();
}

TEST_F(Relayed, a_call_whose_home_died_with_it_has_an_unknown_outcome) {
  one_.hold();
  const auto call = two_.call(session_, R"("q")", false);
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  one_.die();
  EXPECT_EQ(call->response().status, 502);
  EXPECT_THAT(call->response().body, HasSubstr(R"("id":"q","error":{"code":-32010)"));
  EXPECT_EQ(home(), two_.home()) << "the session lives on";
  EXPECT_THAT(two_.call(session_)->response().body, HasSubstr(R"("from":"two")"));
}

TEST_F(Relayed, a_request_that_only_reads_is_asked_again_when_its_home_died_with_it) {
  one_.hold();
  const auto call =
      two_.send(R"({"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"x://y"}})", session_);
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  one_.die();
  EXPECT_EQ(call->response().body, R"({"jsonrpc":"2.0","id":3,"result":{"from":"two"}})");
}

TEST_F(Relayed, a_stream_whose_home_died_ends_and_its_rest_is_an_unknown_outcome) {
  one_.hold();
  const auto call = two_.call(session_, "9");
  ASSERT_TRUE(eventually([&] { return one_.held() == 1; }));
  one_.upstream->say(std::string(kNote));
  one_.upstream->say(std::string(kNote));
  ASSERT_TRUE(eventually([&] { return events_of(call->text()).size() == 3; }));
  one_.die();
  const std::string heard = *events_of(call->response().body)[1].id;
  const auto events = events_of(two_.listen(session_, heard)->response().body);
  ASSERT_EQ(events.size(), 2U) << "what was missed, and the end";
  EXPECT_TRUE(events[0].id->ends_with("-2"));
  EXPECT_TRUE(events[1].id->ends_with("-3"));
  EXPECT_THAT(events[1].data, HasSubstr(R"("id":9,"error":{"code":-32010)"));
}

TEST_F(Relayed, whoever_still_sends_to_a_home_that_left_is_told_and_finds_the_new_one) {
  Worker three(common_, "three");
  // All three know where it lives.
  EXPECT_THAT(two_.call(session_)->response().body, HasSubstr(R"("from":"one")"));
  EXPECT_THAT(three.call(session_)->response().body, HasSubstr(R"("from":"one")"));
  one_.bench.runtime->leave_home();
  EXPECT_THAT(two_.call(session_)->response().body, HasSubstr(R"("from":"two")"));
  EXPECT_THAT(three.call(session_)->response().body, HasSubstr(R"("from":"two")"));
  EXPECT_THAT(one_.call(session_)->response().body, HasSubstr(R"("from":"two")"));
}

TEST(RelayedToNobody, one_of_many_claims_what_lived_in_a_dead_worker) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 10; ++round) {
    Common common;
    std::vector<std::unique_ptr<Worker>> workers;
    for (const char* name : {"a", "b", "c", "d"}) workers.push_back(std::make_unique<Worker>(common, name));
    Worker dead(common, "dead");
    const std::string session = dead.bench.open_session();
    EXPECT_EQ(dead.call(session)->response().status, 200);
    // Some have heard of it before.
    for (const auto& each : workers) {
      if (random() % 2 == 0) {
        EXPECT_THAT(each->call(session)->response().body, HasSubstr("dead"));
      }
    }
    dead.die();
    std::shuffle(workers.begin(), workers.end(), random);
    std::vector<std::string> answers(2 * workers.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      threads.emplace_back(
          [&, i] { answers[i] = workers[i % workers.size()]->call(session, "1", i % 2 == 0)->response().body; });
    }
    for (std::thread& each : threads) each.join();
    EXPECT_THAT(answers[0], HasSubstr(R"("result":{"from":)"));
    for (const std::string& answer : answers) EXPECT_EQ(answer, answers[0]) << "one home, for all of them";
    EXPECT_THAT(answers[0], Not(HasSubstr("dead")));
  }
}

}  // namespace
}  // namespace ringside::test
