#pragma once
// A ring whose streams are written and read by hand.

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>
#include <utility>

#include "base/backlog.h"
#include "rings.h"

namespace ringside::shm::test {

inline constexpr std::uint32_t kAll = kFeatureRing | kFeatureAgain | kFeatureParts;
inline constexpr std::size_t kPool = kMinSegmentBytes - sizeof(ResponseSegment);
inline constexpr std::size_t kMuch = kMuchUnread;  // with which a writer shall wait
inline constexpr std::size_t kLittle = kMuch / 2;  // unread, with which it may go on
using Room = WorkerEnd::Room;
using Called = std::pair<std::uint32_t, std::uint64_t>;

inline WorkerEndOptions options_with(std::size_t max_body_bytes, std::uint64_t segment_bytes = kMinSegmentBytes) {
  WorkerEndOptions options = worker_options(segment_bytes);
  options.features = kAll;
  options.max_body_bytes = max_body_bytes;
  return options;
}

struct Streams {
  explicit Streams(std::size_t max_body_bytes = 64UL << 20U, std::uint64_t segment_bytes = kMinSegmentBytes)
      : ring(segment_bytes, options_with(max_body_bytes, segment_bytes)) {
    ring.worker->on_room([this](std::uint32_t slot, std::uint64_t sequence) { roomy.insert({slot, sequence}); });
  }
  ~Streams() { held.clear(); }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  Called call() {
    const auto called = ring.send("h", {});
    (void)ring.take();
    return called;
  }
  Called open(const std::string& header = "head") {
    const auto called = call();
    ring.worker->begin_stream(called.first, called.second, 200, header);
    return called;
  }
  /// The same, and the header is read; what lies before it is kept in `held`.
  Called listen() {
    const auto called = open();
    auto head = ring.receive();
    while (head.sequence != called.second) {
      held.push_back(std::move(head));
      head = ring.receive();
    }
    EXPECT_TRUE(head.more && head.answer.header() == "head" && head.answer.body().empty());
    return called;
  }
  Room write(const Called& stream, std::string_view piece) {
    return ring.worker->write_stream(stream.first, stream.second, piece);
  }
  void end(const Called& stream) { ring.worker->end_stream(stream.first, stream.second); }
  void cancel(const Called& stream) {
    ring.client->cancel(stream.first, stream.second);
    EXPECT_TRUE(ring.take().cancel);
  }
  /// Takes all that is there; the loans are kept in `held`.
  std::size_t take_what_came() {
    std::size_t bytes = 0;
    while (auto piece = ring.client->poll().value()) {
      bytes += piece->answer.body().size();
      ended += piece->more ? 0 : 1;
      status = piece->status;
      held.push_back(std::move(*piece));
    }
    return bytes;
  }
  /// Reads one stream to its end while the worker looks for room.
  std::string read_all(const Called& stream) {
    std::string body;
    for (int turn = 0; turn < 100'000; ++turn) {
      auto piece = ring.client->poll().value();
      if (!piece) {
        EXPECT_FALSE(ring.worker->take().value().has_value());
        continue;
      }
      EXPECT_EQ(piece->sequence, stream.second);
      body.append(piece->answer.body());
      status = piece->status;
      if (!piece->more) return body;
    }
    ADD_FAILURE() << "the stream never ended";
    return body;
  }
  /// An answer as large as the whole pool goes out in one run: no block is missing.
  void expect_every_block_is_free() {
    EXPECT_FALSE(ring.worker->take().value().has_value());
    const auto called = call();
    EXPECT_TRUE(ring.worker->complete(called.first, called.second, 200, {}, std::string(kPool, 'x'),
                                      WorkerEnd::Otherwise::kNothing));
    EXPECT_EQ(ring.receive().answer.body().size(), kPool);
    EXPECT_FALSE(ring.worker->sends_parts());
  }

  Ring ring;
  std::set<Called> roomy;
  std::deque<ClientEnd::Taken> held;
  int ended = 0;
  int status = 0;
};

}  // namespace ringside::shm::test
