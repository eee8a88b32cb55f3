// What lies between a transport that brings a stream and the thread that reads it.

#include "client/cpp/stream_buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "client/cpp/transport.h"

namespace ringside {
namespace {

constexpr std::size_t kMuch = kMuchUnread;

Response head_of(int status) {
  Response head;
  head.status = status;
  return head;
}
SteadyTime past() { return std::chrono::steady_clock::now() - std::chrono::seconds(1); }

TEST(StreamBuffer, gives_pieces_in_order_and_then_the_end_again_and_again) {
  StreamBuffer buffer;
  buffer.begin(head_of(201));
  EXPECT_TRUE(*buffer.wait_for_head(SteadyTime::max()));
  EXPECT_EQ(buffer.head().status, 201);
  EXPECT_TRUE(buffer.push("a"));
  EXPECT_TRUE(buffer.push(""));
  EXPECT_TRUE(buffer.push("bc"));
  buffer.finish({Response{}});
  EXPECT_EQ(**buffer.read(SteadyTime::max()), "a");
  EXPECT_EQ(**buffer.read(SteadyTime::max()), "bc");
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(buffer.read(SteadyTime::max())->has_value());
}

TEST(StreamBuffer, an_answer_that_came_whole_is_a_head_and_a_piece) {
  StreamBuffer buffer;
  buffer.finish({Response{404, {}, "body"}});
  EXPECT_TRUE(*buffer.wait_for_head(SteadyTime::max()));
  EXPECT_EQ(buffer.head().status, 404);
  EXPECT_EQ(**buffer.read(SteadyTime::max()), "body");
  EXPECT_FALSE(buffer.read(SteadyTime::max())->has_value());
}

TEST(StreamBuffer, an_end_without_a_head_says_so) {
  StreamBuffer buffer;
  buffer.finish({kGaveUp});
  EXPECT_FALSE(*buffer.wait_for_head(SteadyTime::max()));
  EXPECT_EQ(buffer.take_outcome().answer.error().code, Code::kCancelled);
}

TEST(StreamBuffer, what_came_before_an_error_is_good) {
  StreamBuffer buffer;
  buffer.begin(head_of(200));
  buffer.push("good");
  buffer.finish({kReadTooSlowly});
  buffer.finish({Response{}});  // the first end counts
  EXPECT_EQ(**buffer.read(SteadyTime::max()), "good");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(buffer.read(SteadyTime::max()).error().code, Code::kFull);
}

TEST(StreamBuffer, a_wait_ends_in_time_and_the_stream_goes_on) {
  StreamBuffer buffer;
  EXPECT_EQ(buffer.wait_for_head(past()).error().code, Code::kTimeout);
  buffer.begin(head_of(200));
  EXPECT_EQ(buffer.read(past()).error().code, Code::kTimeout);
  buffer.push("x");
  EXPECT_EQ(**buffer.read(past()), "x") << "what is there needs no time";
}

TEST(StreamBuffer, tells_a_transport_that_was_told_to_wait_of_room_once) {
  StreamBuffer buffer;
  int told = 0;
  buffer.on_room([&told] { ++told; });
  EXPECT_TRUE(buffer.push(std::string(kMuch - 1, 'x')));
  EXPECT_FALSE(buffer.push("y"));
  EXPECT_FALSE(buffer.has_room());
  (void)buffer.read(SteadyTime::max());
  EXPECT_TRUE(buffer.has_room());
  EXPECT_EQ(told, 1);
  (void)buffer.read(SteadyTime::max());
  EXPECT_EQ(told, 1);
}

TEST(StreamBuffer, a_transport_that_goes_on_all_the_same_is_told_too) {
  StreamBuffer buffer;
  int told = 0;
  buffer.on_room([&told] { ++told; });
  EXPECT_FALSE(buffer.push(std::string(kMuch, 'x')));
  EXPECT_FALSE(buffer.push(std::string(kMuch / 2, 'y')));
  (void)buffer.read(SteadyTime::max());
  EXPECT_EQ(told, 0);
  (void)buffer.push("z");  // now there would be room for it
  (void)buffer.read(SteadyTime::max());
  (void)buffer.read(SteadyTime::max());
  EXPECT_EQ(told, 1);
}

TEST(StreamBuffer, keeps_what_it_is_given_until_the_end) {
  const auto held = std::make_shared<int>();
  {
    StreamBuffer buffer;
    buffer.keep(held);
    EXPECT_EQ(held.use_count(), 2);
    buffer.finish({kGaveUp});
    EXPECT_EQ(held.use_count(), 1);
  }
  {
    StreamBuffer dropped;
    dropped.keep(held);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(StreamBuffer, reports_when_the_reader_learns_of_the_end_and_not_before) {
  CallTrace trace;
  StreamBuffer buffer;
  buffer.report_to(&trace);
  buffer.trace.ring = 7;
  buffer.begin(head_of(200));
  buffer.push("x");
  buffer.finish({Response{}});
  (void)buffer.read(SteadyTime::max());
  EXPECT_EQ(trace.ring, 0U);
  (void)buffer.read(SteadyTime::max());
  EXPECT_EQ(trace.ring, 7U);
}

TEST(StreamBuffer, one_writes_while_another_reads) {
  const auto buffer = std::make_shared<StreamBuffer>();
  std::atomic<bool> room{true};
  buffer->on_room([&room] { room = true; });
  constexpr int kPieces = 20'000;
  std::thread writer([&] {
    buffer->begin(head_of(200));
    for (int i = 0; i < kPieces; ++i) {
      room = false;
      if (buffer->push(std::string(100, static_cast<char>('a' + i % 26)))) continue;
      while (!room && !buffer->has_room()) std::this_thread::yield();
    }
    buffer->finish({Response{}});
  });
  EXPECT_TRUE(*buffer->wait_for_head(SteadyTime::max()));
  for (int i = 0; i < kPieces; ++i) {
    ASSERT_EQ((**buffer->read(SteadyTime::max()))[0], static_cast<char>('a' + i % 26));
  }
  EXPECT_FALSE(buffer->read(SteadyTime::max())->has_value());
  writer.join();
}

TEST(StreamBuffer, a_whole_answer_is_a_stream_that_nobody_can_cancel) {
  const auto stream = whole_stream(Response{405, {}, "no"}).value();
  EXPECT_EQ(stream->head().status, 405);
  stream->cancel();
  EXPECT_EQ(**stream->read(), "no");
  EXPECT_FALSE(stream->read()->has_value());
  EXPECT_EQ(whole_stream(kTooLate).error().code, Code::kTimeout);
}

}  // namespace
}  // namespace ringside
