// Streams through rings and beside handles, against a real ring door and runtime in this process.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "client/cpp/stream_buffer.h"
#include "mcp/sse.h"
#include "tests/client/ring_callers.h"
#include "tests/support/process.h"

namespace ringside {
namespace {

using testing::HasSubstr;

std::string notice(int number, std::size_t bytes = 10) {
  return R"({"jsonrpc":"2.0","method":"x","params":{"n":)" + std::to_string(number) + R"(,"d":")" +
         std::string(bytes, 'd') + R"("}})";
}
const std::string kHeldAnswer =
    mcp::format_sse(R"({"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"xx"}]}})");

/// A stream, and what its transport brings of it.
struct Streaming {
  Streaming(Transport& transport, Request request) {
    request.stream = true;
    pending = transport.stream(std::move(request), &buffer->trace, buffer);
  }
  std::string rest() {
    std::string text;
    while (true) {
      auto piece = buffer->read(in(worker::kPatience));
      EXPECT_TRUE(piece.ok()) << piece.error().message;
      if (!piece.ok() || !*piece) return text;
      text += **piece;
    }
  }
  Code error() {
    while (true) {
      auto piece = buffer->read(in(worker::kPatience));
      if (!piece.ok()) return piece.error().code;
      if (!*piece) return Code::kInvalid;  // it ended well
    }
  }

  std::shared_ptr<StreamBuffer> buffer = std::make_shared<StreamBuffer>();
  std::shared_ptr<PendingCall> pending;
};

class RingStreams : public testing::TestWithParam<DoorChoice> {
 protected:
  /// A held call whose stream has begun.
  std::unique_ptr<Streaming> begin(Duration timeout = worker::kPatience) {
    auto streaming = std::make_unique<Streaming>(*transport_, with_deadline(hold(), timeout));
    EXPECT_TRUE(house_->held().wait_for(1));
    house_->held().say(notice(0));
    EXPECT_TRUE(streaming->buffer->wait_for_head(in(worker::kPatience)).value());
    EXPECT_EQ(**streaming->buffer->read(in(worker::kPatience)), mcp::format_sse(notice(0)));
    return streaming;
  }

  const ringside::test::TempDir folder_;
  std::unique_ptr<RingHouse> house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
  std::shared_ptr<Transport> transport_ = connect(*house_, GetParam());
};
INSTANTIATE_TEST_SUITE_P(Rings, RingStreams, ::testing::Values(DoorChoice::kRing, DoorChoice::kHandle),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(RingStreams, an_answer_that_comes_whole_is_a_head_and_its_body) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, std::size_t{kMiB}, std::size_t{9 * kMiB}}) {
    Streaming echo(*transport_, with_deadline(echo_of(std::string(bytes, 'e'))));
    ASSERT_TRUE(echo.buffer->wait_for_head(in(worker::kPatience)).value());
    EXPECT_EQ(echo.buffer->head().status, 200);
    EXPECT_EQ(echo.rest(), std::string(bytes, 'e'));
  }
  Streaming refused(*transport_, with_deadline([] {
    Request request;
    request.method = "GET";
    request.path = "/mcp";
    return request;
  }()));
  ASSERT_TRUE(refused.buffer->wait_for_head(in(worker::kPatience)).value());
  EXPECT_EQ(refused.buffer->head().status, 405);
}

TEST_P(RingStreams, pieces_come_as_the_upstream_says_them) {
  const auto stream = begin();
  EXPECT_EQ(stream->buffer->head().status, 200);
  EXPECT_EQ(stream->buffer->head().headers.get("content-type"), "text/event-stream");
  for (int i = 1; i < 5; ++i) {
    house_->held().say(notice(i));
    EXPECT_EQ(**stream->buffer->read(in(worker::kPatience)), mcp::format_sse(notice(i)));
  }
  house_->held().release();
  EXPECT_EQ(stream->rest(), kHeldAnswer);
}

TEST_P(RingStreams, a_slow_reader_loses_nothing_and_calls_go_on) {
  const auto stream = begin();
  std::string sent;
  for (int i = 0; i < 200; ++i) {
    house_->held().say(notice(i, 50'000));
    sent += mcp::format_sse(notice(i, 50'000));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(transport_->call(with_deadline(echo_of(std::string(kMiB, 'y'))), nullptr).answer->body.size(), kMiB);
  }
  house_->held().release();
  EXPECT_TRUE(stream->rest() == sent + kHeldAnswer);
}

TEST_P(RingStreams, one_that_is_never_read_is_cut_off_and_says_so) {
  transport_.reset();
  house_.reset();
  RingDoorOptions options;
  options.max_body_bytes = kMiB;
  house_ = std::make_unique<RingHouse>(options, folder_.path());
  transport_ = connect(*house_, GetParam());
  const auto stream = begin();
  for (int i = 0; i < 500 && house_->held().cancelled == 0; ++i) house_->held().say(notice(i, 50'000));
  EXPECT_TRUE(house_->held().wait_for_cancelled(1));
  EXPECT_EQ(stream->error(), Code::kFull);
  EXPECT_TRUE(transport_->call(with_deadline(ping()), nullptr).answer.ok());
}

TEST_P(RingStreams, a_cancel_reaches_the_upstream_whether_it_is_read_or_not) {
  for (const bool read : {true, false}) {
    const auto stream = begin();
    for (int i = 0; !read && i < 100; ++i) house_->held().say(notice(i, 50'000));
    const std::uint64_t before = house_->held().cancelled;
    stream->pending->cancel();
    EXPECT_TRUE(house_->held().wait_for_cancelled(before + 1));
    EXPECT_EQ(stream->error(), Code::kCancelled);
    EXPECT_TRUE(transport_->call(with_deadline(echo_of(std::string(2 * kMiB, 'x'))), nullptr).answer.ok());
  }
}

TEST_P(RingStreams, the_deadline_ends_one_in_the_middle) {
  const auto stream = begin(std::chrono::milliseconds(500));
  EXPECT_EQ(stream->error(), Code::kTimeout);
  EXPECT_TRUE(house_->held().wait_for_cancelled(1));
}

TEST_P(RingStreams, the_end_of_the_transport_ends_them) {
  const auto stream = begin();
  for (int i = 0; i < 100; ++i) house_->held().say(notice(i, 50'000));
  transport_.reset();
  EXPECT_NE(stream->error(), Code::kInvalid);
  stream->pending->cancel();
}

TEST_P(RingStreams, one_whose_worker_is_gone_breaks_off_after_what_came) {
  const auto stream = begin();
  house_->held().say(notice(1));
  EXPECT_EQ(**stream->buffer->read(in(worker::kPatience)), mcp::format_sse(notice(1)));
  house_->close_door();
  EXPECT_EQ(stream->error(), Code::kUnavailable);
}

TEST_P(RingStreams, many_at_once_each_hear_their_own) {
  std::vector<std::unique_ptr<Streaming>> streams;
  for (int i = 0; i < 50; ++i) streams.push_back(std::make_unique<Streaming>(*transport_, with_deadline(hold())));
  ASSERT_TRUE(house_->held().wait_for(50));
  std::string sent;
  for (int i = 0; i < 20; ++i) {
    house_->held().say(notice(i, 5000));
    sent += mcp::format_sse(notice(i, 5000));
  }
  house_->held().release();
  for (const auto& stream : streams) EXPECT_TRUE(stream->rest() == sent + kHeldAnswer);
}

/// What a ring does for streams when one worker follows the other.
class RingStreamDeaths : public testing::Test {
 protected:
  void succeed() {
    house_.reset();
    house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
  }
  const ringside::test::TempDir folder_;
  std::unique_ptr<RingHouse> house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
  std::shared_ptr<Transport> transport_ = connect(*house_, DoorChoice::kRing);
};

TEST_F(RingStreamDeaths, a_stream_without_a_head_is_served_by_the_next_worker) {
  house_->close_door();
  Streaming fresh(*transport_, with_deadline(hold()));
  succeed();
  ASSERT_TRUE(house_->held().wait_for(1));
  house_->held().say(notice(1));
  EXPECT_TRUE(fresh.buffer->wait_for_head(in(worker::kPatience)).value());
  house_->held().release();
  EXPECT_EQ(fresh.rest(), mcp::format_sse(notice(1)) + kHeldAnswer);
}

TEST_F(RingStreamDeaths, one_that_was_taken_and_could_do_harm_says_that_nobody_knows) {
  Streaming taken(*transport_, with_deadline(hold()));
  ASSERT_TRUE(house_->held().wait_for(1));
  house_->close_door();
  succeed();
  EXPECT_TRUE(taken.buffer->wait_for_head(in(worker::kPatience)).value());
  EXPECT_EQ(taken.buffer->head().status, 502);
  EXPECT_THAT(taken.rest(), HasSubstr("-32010"));
}

TEST_F(RingStreamDeaths, one_that_has_begun_breaks_off_and_its_slot_is_used_again) {
  for (int death = 0; death < 5; ++death) {
    Streaming begun(*transport_, with_deadline(hold()));
    ASSERT_TRUE(house_->held().wait_for(1));
    for (int i = 0; i < 30; ++i) house_->held().say(notice(i, 50'000));
    EXPECT_TRUE(begun.buffer->wait_for_head(in(worker::kPatience)).value());
    house_->close_door();
    EXPECT_EQ(begun.error(), Code::kUnavailable) << "and what came before it is good";
    succeed();
    for (int i = 0; i < 20; ++i) {
      const auto outcome = transport_->call(with_deadline(echo_of(std::to_string(i))), nullptr);
      ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
      EXPECT_EQ(outcome.answer->body, std::to_string(i));
    }
  }
}

TEST_F(RingStreamDeaths, one_given_up_while_nobody_is_there_is_told_in_time) {
  house_->close_door();
  Streaming cancelled(*transport_, with_deadline(hold()));
  Streaming late(*transport_, with_deadline(hold(), std::chrono::milliseconds(50)));
  cancelled.pending->cancel();
  EXPECT_FALSE(cancelled.buffer->wait_for_head(in(worker::kPatience)).value());
  EXPECT_EQ(code_of(cancelled.buffer->take_outcome()), Code::kCancelled);
  EXPECT_FALSE(late.buffer->wait_for_head(in(worker::kPatience)).value());
  EXPECT_EQ(code_of(late.buffer->take_outcome()), Code::kTimeout);
  succeed();
  EXPECT_TRUE(transport_->call(with_deadline(ping()), nullptr).answer.ok());
}

}  // namespace
}  // namespace ringside
