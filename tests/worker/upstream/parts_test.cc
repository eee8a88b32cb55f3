// The parts that both kinds of upstream are made of, each by itself.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <future>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/worker/upstream/asking.h"
#include "worker/upstream/backoff.h"
#include "worker/upstream/conversation.h"
#include "worker/upstream/stdio_requests.h"
#include "worker/upstream/timer.h"

namespace ringside::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Backoff, it_doubles_from_200_ms_to_10_s_and_starts_again_after_a_good_life) {
  FakeClock clock;
  Backoff backoff;
  EXPECT_TRUE(backoff.allows(clock.now()));
  for (const int wait_ms : {200, 400, 800, 1600, 3200, 6400, 10'000, 10'000}) {
    backoff.died(clock.now(), seconds(9));
    clock.advance(milliseconds(wait_ms - 1));
    EXPECT_FALSE(backoff.allows(clock.now())) << wait_ms;
    clock.advance(milliseconds(1));
    EXPECT_TRUE(backoff.allows(clock.now())) << wait_ms;
  }
  backoff.died(clock.now(), seconds(10));
  clock.advance(milliseconds(200));
  EXPECT_TRUE(backoff.allows(clock.now()));
}

TEST(Timer, actions_run_in_the_order_of_their_times_and_forgotten_ones_do_not) {
  std::vector<int> ran;
  std::promise<void> last;
  Timer timer;
  const auto start = system_clock().now() + milliseconds(50);
  timer.arm(start + milliseconds(10), [&] {
    ran.push_back(3);
    last.set_value();
  });
  const auto forgotten = timer.arm(start, [&] { ran.push_back(0); });
  timer.arm(start, [&] { ran.push_back(2); });
  timer.arm(SteadyTime{}, [&] { ran.push_back(1); });
  timer.disarm(forgotten);
  timer.disarm(forgotten);
  timer.disarm({});
  last.get_future().wait();
  EXPECT_THAT(ran, testing::ElementsAre(1, 2, 3));
}

TEST(Timer, an_action_may_arm_another) {
  std::promise<void> second;
  Timer timer;
  timer.arm(SteadyTime{}, [&] { timer.arm(SteadyTime{}, [&] { second.set_value(); }); });
  EXPECT_EQ(second.get_future().wait_for(seconds(30)), std::future_status::ready);
}

TEST(Timer, what_is_armed_when_it_goes_away_never_runs) {
  bool ran = false;
  {
    Timer().arm(in(std::chrono::hours(1)), [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

TEST(Conversation, messages_are_sorted_by_what_they_are) {
  mcp::EnvelopeReader reader;
  const auto kind = [&](const std::string& text) { return understand(reader, text).kind; };
  EXPECT_EQ(kind(R"({"jsonrpc":"2.0","id":1,"result":{}})"), Incoming::Kind::kAnswer);
  EXPECT_EQ(kind(R"({"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}})"), Incoming::Kind::kAnswer);
  EXPECT_EQ(kind(R"({"jsonrpc":"2.0","id":1,"method":"roots/list"})"), Incoming::Kind::kQuestion);
  EXPECT_EQ(kind(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})"), Incoming::Kind::kListChanged);
  EXPECT_EQ(kind(R"({"jsonrpc":"2.0","method":"notifications/message"})"), Incoming::Kind::kNotice);
  for (const char* noise : {"", "x", "[]", "{}", R"({"jsonrpc":"2.0","id":1,"result":{},"result":{}})"}) {
    EXPECT_EQ(kind(noise), Incoming::Kind::kNoise) << noise;
  }
}

TEST(Conversation, only_a_number_of_ours_is_an_id_of_ours) {
  mcp::EnvelopeReader reader;
  const auto id = [&](const std::string& raw) { return understand(reader, mcp::result_body(raw, "{}")).id; };
  EXPECT_EQ(id("18446744073709551615"), 18446744073709551615ULL);
  for (const char* raw : {"18446744073709551616", "-1", "1.0", "1e2", "\"1\""}) EXPECT_EQ(id(raw), std::nullopt) << raw;
}

TEST(Conversation, what_we_say_is_valid_whatever_our_version_is) {
  mcp::EnvelopeReader reader;
  mcp::Envelope message;
  const auto initialize = initialize_request("1\"\n");
  ASSERT_EQ(reader.read(initialize, message), mcp::EnvelopeFault::kNone);
  EXPECT_EQ(message.method, "initialize");
  const auto cancelled = cancelled_notification(7, "why");
  ASSERT_EQ(reader.read(cancelled, message), mcp::EnvelopeFault::kNone);
  EXPECT_EQ(message.params, R"({"requestId":7,"reason":"why"})");
}

// Both ends of a pipe, the writing one non-blocking as a child's stdin is.
class Pipe {
 public:
  Pipe() {
    int fds[2] = {-1, -1};
    RS_CHECK(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe can be made");
    read_.reset(fds[0]);
    write_.reset(fds[1]);
  }
  [[nodiscard]] int writer() const { return write_.get(); }
  std::string drain() {
    std::string all(1 << 20U, '\0');
    const auto count = ::read(read_.get(), all.data(), all.size());
    all.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return all;
  }
  void close_reader() { read_.reset(); }

 private:
  UniqueFd read_;
  UniqueFd write_;
};

class RequestsTest : public testing::Test {
 protected:
  void add(std::uint64_t id, std::string message, SteadyTime deadline = SteadyTime::max()) {
    ASSERT_TRUE(requests_.reserve(message.size()));
    requests_.add({std::move(message), id, deadline}, [this, id](const Result<std::string>& answer) {
      ended_.emplace_back(id, answer.ok() ? *answer : std::string(answer.error().message));
    });
  }
  void fail_all() { requests_.fail_all({Code::kUpstream, 0, "ran"}, {Code::kUnavailable, 0, "did not run"}); }

  std::vector<std::pair<std::uint64_t, std::string>> ended_;
  StdioRequests requests_;
  Pipe pipe_;
};

TEST_F(RequestsTest, requests_wait_for_the_release_and_our_own_messages_do_not) {
  add(1, "one");
  requests_.post("ours");
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  EXPECT_EQ(pipe_.drain(), "ours\n");
  requests_.release();
  add(2, "t\nw\ro");
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  EXPECT_EQ(pipe_.drain(), "one\nt w o\n");
  EXPECT_FALSE(requests_.has_output());
}

TEST_F(RequestsTest, an_answer_that_comes_before_its_request_was_written_is_for_nobody) {
  requests_.release();
  add(1, "one");
  EXPECT_FALSE(requests_.answer(1, "guess"));
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  EXPECT_TRUE(requests_.answer(1, "answer"));
  EXPECT_FALSE(requests_.answer(1, "again"));
  EXPECT_THAT(ended_, testing::ElementsAre(testing::Pair(1, "answer")));
}

TEST_F(RequestsTest, a_death_tells_apart_what_may_have_run) {
  requests_.release();
  add(1, "written");
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  add(2, std::string(1 << 20U, 'b'));  // more than the pipe takes
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  add(3, "queued");
  requests_.cancel(4);
  fail_all();
  EXPECT_THAT(ended_, testing::UnorderedElementsAre(testing::Pair(1, "ran"), testing::Pair(2, "ran"),
                                                    testing::Pair(3, "did not run")));
  EXPECT_FALSE(requests_.has_output());
  EXPECT_TRUE(requests_.reserve(StdioRequests::kMaxQueuedBytes));  // all room is back
}

TEST_F(RequestsTest, a_half_written_request_is_finished_before_its_cancellation_goes_out) {
  requests_.release();
  const std::string big(1 << 17U, 'b');
  add(1, big);
  ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  requests_.cancel(1);
  std::string all;
  while (requests_.has_output()) {
    all += pipe_.drain();
    ASSERT_TRUE(requests_.write_to(pipe_.writer()).ok());
  }
  all += pipe_.drain();
  EXPECT_EQ(all, big + "\n" + cancelled_notification(1, "cancelled") + "\n");
  EXPECT_THAT(ended_, testing::ElementsAre(testing::Pair(1, "cancelled")));
}

TEST_F(RequestsTest, deadlines_end_what_is_past_them_and_nothing_else) {
  FakeClock clock;
  EXPECT_EQ(requests_.next_deadline(), SteadyTime::max());
  add(1, "a", clock.now() + seconds(2));
  add(2, "b", clock.now() + seconds(1));
  add(3, "c");
  EXPECT_EQ(requests_.next_deadline(), clock.now() + seconds(1));
  clock.advance(seconds(1));
  requests_.expire(clock.now());
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_[0].first, 2U);
  EXPECT_EQ(requests_.next_deadline(), clock.now() + seconds(1));
  fail_all();
  EXPECT_EQ(requests_.next_deadline(), SteadyTime::max());
}

TEST_F(RequestsTest, the_queue_has_an_end_but_takes_one_large_message_when_it_is_empty) {
  EXPECT_TRUE(requests_.reserve(StdioRequests::kMaxQueuedBytes + 1));
  EXPECT_TRUE(requests_.crowded());
  EXPECT_FALSE(requests_.reserve(1));
  requests_.unreserve(StdioRequests::kMaxQueuedBytes + 1);
  EXPECT_TRUE(requests_.reserve(StdioRequests::kMaxQueuedBytes - 1));
  EXPECT_FALSE(requests_.reserve(2));
  EXPECT_TRUE(requests_.reserve(1));
}

TEST_F(RequestsTest, nobody_at_the_other_end_is_told_as_such) {
  ::signal(SIGPIPE, SIG_IGN);
  requests_.post("hello");
  pipe_.close_reader();
  const auto status = requests_.write_to(pipe_.writer());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace ringside::worker
