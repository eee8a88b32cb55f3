// A worker that goes away while calls are under way: it answers what it took, the rest goes elsewhere at once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "tests/client/calls.h"
#include "tests/client/ring_callers.h"
#include "tests/support/process.h"

namespace ringside {
namespace {

using testing::HasSubstr;

/// A worker that can be told to go, and the one that takes its place in the same folder.
class Leaving : public testing::Test {
 protected:
  /// The old one takes nothing more, and another stands ready; as in a reload.
  void replace() {
    old_ = std::move(house_);
    old_->stop_listening();
    house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
    old_->rings().drain([this] { drained_.set_value(); });
  }
  [[nodiscard]] bool has_gone() {
    return drained_.get_future().wait_for(worker::kPatience) == std::future_status::ready;
  }
  [[nodiscard]] std::shared_ptr<Client> client(std::uint32_t rings = 1) const {
    ClientOptions options = house_->client_options(DoorChoice::kRing);
    options.rings = rings;
    return Client::connect(options).value();
  }
  static void expect_echo(Client& client, const std::string& body) {
    const Answer answer = client.call(echo_of(body), {});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_TRUE(answer->body == body);
  }
  static void expect_held_answer(const Answer& answer) {
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_THAT(answer->body, HasSubstr("result"));
  }

  const ringside::test::TempDir folder_;
  std::promise<void> drained_;
  std::unique_ptr<RingHouse> old_;
  std::unique_ptr<RingHouse> house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
};

TEST_F(Leaving, a_long_call_holds_up_nobody_and_is_still_answered) {
  const auto client = this->client();
  const auto long_call = test::start(*client, hold());
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  for (int i = 0; i < 100; ++i) {
    expect_echo(*client, std::to_string(i));
    const auto async = test::start(*client, echo_of("a" + std::to_string(i)));
    EXPECT_EQ(async->answer.get()->body, "a" + std::to_string(i));
  }
  EXPECT_EQ(long_call->answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  old_->held().release();
  expect_held_answer(long_call->answer.get());
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, one_that_waits_for_its_answer_is_not_disturbed_either) {
  const auto client = this->client();
  std::thread waiting([&] { expect_held_answer(client->call(hold(), {})); });
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  expect_echo(*client, "meanwhile");
  old_->held().release();
  waiting.join();
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, large_bodies_both_ways_too) {
  const auto client = this->client();
  const auto long_call = test::start(*client, hold(7 * kMiB));
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  expect_echo(*client, std::string(9 * kMiB, 'e'));
  old_->held().release(9 * kMiB);
  const Answer answer = long_call->answer.get();
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_GT(answer->body.size(), 9 * kMiB);
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, a_stream_goes_on_to_its_end) {
  const auto client = this->client();
  auto begun = std::async(std::launch::async, [&] { return client->stream(hold(), {}).value(); });
  ASSERT_TRUE(house_->held().wait_for(1));
  const std::string notice = R"({"jsonrpc":"2.0","method":"x"})";
  house_->held().say(notice);
  const auto stream = begun.get();
  EXPECT_THAT(stream->read()->value(), HasSubstr(notice));
  replace();
  expect_echo(*client, "meanwhile");
  old_->held().say(notice);
  EXPECT_THAT(stream->read()->value(), HasSubstr(notice));
  old_->held().release();
  std::string rest;
  while (const auto piece = stream->read().value()) rest += *piece;
  EXPECT_THAT(rest, HasSubstr("result"));
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, what_was_never_taken_comes_back_unsent) {
  const auto transport = connect(*house_, DoorChoice::kRing);
  Started long_call(*transport, with_deadline(hold()));
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  // Until the client has heard of it calls are published that nobody takes.
  while (transport->usable()) {
    const Outcome outcome = transport->call(with_deadline(echo_of("x")), nullptr);
    EXPECT_TRUE(outcome.answer.ok() || outcome.unsent.has_value());
  }
  EXPECT_TRUE(transport->call(with_deadline(echo_of("x")), nullptr).unsent.has_value());
  EXPECT_TRUE(Started(*transport, with_deadline(echo_of(std::string(7 * kMiB, 'x')))).get().unsent.has_value());
  old_->held().release();
  EXPECT_TRUE(long_call.get().answer.ok());
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, an_answer_without_room_is_still_fetched) {
  RingDoorOptions small;
  small.segment_bytes = kMiB;
  small.max_body_bytes = 2 * kMiB;
  house_.reset();
  house_ = std::make_unique<RingHouse>(small, folder_.path());
  const auto client = this->client();
  std::vector<std::unique_ptr<test::Started>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(test::start(*client, hold()));  // four bodies may go in parts
  ASSERT_TRUE(house_->held().wait_for(6));
  replace();
  expect_echo(*client, "meanwhile");
  old_->held().release(2 * kMiB - 4096);
  for (const auto& call : calls) expect_held_answer(call->answer.get());
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, a_worker_that_dies_while_it_leaves_leaves_what_it_took_in_doubt_and_nothing_else) {
  const auto transport = connect(*house_, DoorChoice::kRing);
  Started taken(*transport, with_deadline(hold()));
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  ASSERT_TRUE(becomes_true([&] { return !transport->usable(); }));
  old_->close_door();
  const Outcome outcome = taken.get();
  EXPECT_FALSE(outcome.answer.ok());
  EXPECT_FALSE(outcome.unsent.has_value());
  EXPECT_TRUE(outcome.lost.has_value()) << "another worker decides whether it may run again";
}

TEST_F(Leaving, who_gives_up_holds_the_worker_no_longer) {
  const auto client = this->client();
  const auto long_call = test::start(*client, hold());
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  expect_echo(*client, "meanwhile");
  long_call->pending->cancel();
  EXPECT_EQ(long_call->answer.get().error().code, Code::kCancelled);
  EXPECT_TRUE(has_gone());
  EXPECT_TRUE(old_->held().wait_for_cancelled(1)) << "its upstream is told";
}

TEST_F(Leaving, a_client_that_goes_away_meanwhile_waits_for_nobody) {
  auto client = this->client();
  const auto long_call = test::start(*client, hold());
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  expect_echo(*client, "meanwhile");
  client.reset();
  EXPECT_EQ(long_call->answer.get().error().code, Code::kCancelled);
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, the_old_ring_is_unmapped_when_its_last_call_has_ended) {
  const auto client = this->client();
  (void)house_->settled_segments();
  const auto long_call = test::start(*client, hold());
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  expect_echo(*client, "meanwhile");
  const std::size_t both = house_->settled_segments();
  old_->held().release();
  expect_held_answer(long_call->answer.get());
  EXPECT_TRUE(has_gone());
  // Both sides of it, each in both ends' hands.
  EXPECT_TRUE(becomes_true([&] { return worker::mapped_segments() <= both - 4; }));
}

TEST_F(Leaving, one_ring_of_several_is_replaced) {
  const auto client = this->client(3);
  const auto long_call = test::start(*client, hold());
  ASSERT_TRUE(house_->held().wait_for(1));
  replace();
  for (int i = 0; i < 100; ++i) expect_echo(*client, std::to_string(i));
  old_->held().release();
  expect_held_answer(long_call->answer.get());
  EXPECT_TRUE(becomes_true([&] {
    expect_echo(*client, "x");
    return house_->rings().stats().rings == 3;
  }));
  EXPECT_TRUE(has_gone());
}

TEST_F(Leaving, callers_without_end_across_ten_workers_wait_for_none_of_their_long_calls) {
  const auto client = this->client();
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const std::string body = std::to_string(t) + ":" + std::to_string(i);
        if (t == 0) {
          EXPECT_EQ(test::start(*client, echo_of(body))->answer.get()->body, body);
        } else {
          expect_echo(*client, body);
        }
        ++served;
      }
    });
  }
  for (int round = 0; round < 10; ++round) {
    const auto long_call = test::start(*client, hold());
    ASSERT_TRUE(house_->held().wait_for(1));
    replace();
    const int before = served;
    EXPECT_TRUE(becomes_true([&] { return served > before + 20; }));
    old_->held().release();
    expect_held_answer(long_call->answer.get());
    EXPECT_TRUE(has_gone());
    drained_ = {};
  }
  stop = true;
  for (auto& caller : callers) caller.join();
}

}  // namespace
}  // namespace ringside
