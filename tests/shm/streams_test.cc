// Answers that go out while they are made: a header, pieces as they come, an end. Both ends in one process.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "streams.h"

namespace ringside::shm {
namespace {

using test::Called;
using test::kLittle;
using test::kMuch;
using test::kPool;
using test::Room;
using test::Streams;

TEST(Streams, a_header_comes_first_then_the_pieces_then_the_end) {
  Streams streams;
  const auto stream = streams.open("the head");
  const auto head = streams.ring.receive();
  EXPECT_EQ(head.sequence, stream.second);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.answer.header(), "the head");
  EXPECT_TRUE(head.more && head.answer.body().empty());
  for (const std::string piece : {"a", "bc", "def"}) {
    EXPECT_EQ(streams.write(stream, piece), Room::kMore);
    const auto came = streams.ring.receive();
    EXPECT_EQ(came.answer.body(), piece);
    EXPECT_TRUE(came.more && came.answer.header().empty());
  }
  EXPECT_FALSE(streams.ring.worker->sends_parts()) << "nothing waits";
  streams.end(stream);
  const auto end = streams.ring.receive();
  EXPECT_FALSE(end.more);
  EXPECT_EQ(end.status, 200);
  EXPECT_TRUE(end.answer.body().empty());
}

TEST(Streams, one_without_a_piece_is_a_header_and_an_end) {
  Streams streams;
  const auto stream = streams.listen();
  streams.end(stream);
  EXPECT_FALSE(streams.ring.receive().more);
  const auto bare = streams.open("");
  streams.end(bare);
  EXPECT_EQ(streams.read_all(bare), "");
  streams.expect_every_block_is_free();
}

TEST(Streams, pieces_of_any_size_keep_their_order_and_their_bytes) {
  std::mt19937_64 random(test::seed());
  Streams streams;
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{kBlockBytes}, kPool, 3 * kPool + 777, std::size_t{9'999'999}}) {
    const auto stream = streams.listen();
    const std::string sent = test::random_bytes(random, bytes);
    std::string body;
    for (std::size_t at = 0; at < sent.size();) {
      const std::size_t size = std::min<std::size_t>(sent.size() - at, 1 + random() % 400'000);
      streams.write(stream, std::string_view(sent).substr(at, size));
      at += size;
      if (random() % 2 == 0) continue;
      if (auto piece = streams.ring.client->poll().value()) body.append(piece->answer.body());
    }
    streams.end(stream);
    body += streams.read_all(stream);
    ASSERT_TRUE(body == sent) << bytes;
    EXPECT_EQ(streams.status, 200);
  }
  streams.expect_every_block_is_free();
  EXPECT_EQ(streams.ring.worker->refusal(), "");
}

TEST(Streams, a_writer_whose_client_does_not_read_waits_until_it_has) {
  Streams streams;
  const auto stream = streams.listen();
  const std::string piece(50'000, 'p');
  std::size_t written = 0;
  for (Room room = Room::kMore; room == Room::kMore; written += piece.size()) {
    ASSERT_LT(written, 4 * kPool);
    room = streams.write(stream, piece);
  }
  const std::size_t lent = streams.take_what_came();
  EXPECT_GE(written - lent, kMuch);
  EXPECT_TRUE(streams.roomy.empty());
  std::size_t read = lent;
  while (streams.roomy.empty() && read < written) {
    EXPECT_GE(written - read, kLittle);
    streams.held.clear();
    EXPECT_FALSE(streams.ring.worker->take().value().has_value());
    read += streams.take_what_came();
  }
  EXPECT_EQ(streams.roomy, std::set<Called>{stream}) << "and is told once it has";
  EXPECT_LT(written - read, kLittle);
}

TEST(Streams, a_writer_that_goes_on_all_the_same_is_told_of_room_too) {
  Streams streams;
  const auto stream = streams.listen();
  const std::string piece(kLittle + 20'000, 'p');
  while (streams.write(stream, piece) == Room::kMore) {
  }
  // Room for a part of what waits; then a small piece, which alone would not have to wait.
  for (int i = 0; i < 100 && streams.roomy.empty(); ++i) {
    if (auto one = streams.ring.client->poll().value()) one.reset();
    EXPECT_NE(streams.write(stream, "x"), Room::kCut);
    (void)streams.ring.worker->take();
  }
  EXPECT_EQ(streams.roomy, std::set<Called>{stream});
}

TEST(Streams, beyond_the_limit_of_a_body_what_is_unread_is_cut_and_the_end_says_so) {
  Streams streams(1UL << 20U);
  const auto stream = streams.listen();
  const std::string piece(100'000, 'p');
  std::size_t kept = 0;
  while (streams.write(stream, piece) != Room::kCut) kept += piece.size();
  EXPECT_GE(kept + piece.size(), 1UL << 20U);
  EXPECT_EQ(streams.write(stream, "x"), Room::kCut) << "nothing comes behind a gap";
  streams.end(stream);
  EXPECT_EQ(streams.read_all(stream).size(), kept);
  EXPECT_EQ(streams.status, kCutStatus);
  streams.expect_every_block_is_free();
}

TEST(Streams, one_that_is_cut_before_its_header_went_ends_apart_from_it) {
  Streams streams(1000);
  const auto full = streams.call();
  ASSERT_TRUE(streams.ring.worker->complete(full.first, full.second, 200, {}, std::string(kPool, 'x')));
  const auto stream = streams.open();
  EXPECT_NE(streams.write(stream, std::string(1, 'x')), Room::kCut);
  EXPECT_EQ(streams.write(stream, std::string(1000, 'x')), Room::kCut);
  streams.end(stream);
  (void)streams.ring.receive();
  EXPECT_FALSE(streams.ring.worker->take().value().has_value());
  const auto head = streams.ring.receive();
  EXPECT_EQ(head.answer.header(), "head");
  EXPECT_TRUE(head.more) << "a header with an end is a whole answer, whatever its status";
  EXPECT_EQ(streams.ring.receive().status, kCutStatus);
}

TEST(Streams, a_piece_of_any_size_comes_to_a_client_that_has_read_all_before_it) {
  Streams streams(1000);
  const auto stream = streams.open();
  EXPECT_NE(streams.write(stream, std::string(5000, 'x')), Room::kCut);
}

/// Cancels a stream as far as `until` takes it; its slot and its blocks are free afterwards.
void cancel_after(const std::function<void(Streams&, const Called&)>& until) {
  Streams streams;
  const auto stream = streams.open();
  until(streams, stream);
  streams.cancel(stream);
  EXPECT_EQ(streams.write(stream, "too late"), Room::kMore);
  streams.end(stream);
  std::size_t bytes = 0;
  for (bool ended = false; !ended;) {
    auto piece = streams.ring.client->poll().value();
    ASSERT_TRUE(piece.has_value()) << "no room is needed for an end";
    bytes += piece->answer.body().size();
    ended = !piece->more;
  }
  EXPECT_LE(bytes, kPool);
  streams.held.clear();
  const auto next = streams.open();
  EXPECT_EQ(next.first, stream.first) << "the slot is free";
  streams.write(next, "new");
  streams.end(next);
  EXPECT_EQ(streams.read_all(next), "new");
  streams.expect_every_block_is_free();
}

TEST(Streams, a_cancelled_one_frees_its_slot_and_its_blocks_in_every_phase) {
  cancel_after([](Streams&, const Called&) {});
  cancel_after([](Streams& streams, const Called&) { (void)streams.ring.receive(); });
  cancel_after([](Streams& streams, const Called& stream) { streams.write(stream, "unread"); });
  cancel_after([](Streams& streams, const Called& stream) {
    while (streams.write(stream, std::string(100'000, 'x')) == Room::kMore) {
    }
  });
  cancel_after([](Streams& streams, const Called& stream) {
    while (streams.write(stream, std::string(100'000, 'x')) == Room::kMore) {
    }
    streams.take_what_came();  // and keeps it
  });
  cancel_after([](Streams& streams, const Called& stream) {
    streams.write(stream, std::string(2 * kPool, 'x'));
    streams.end(stream);
  });
}

TEST(Streams, one_cancelled_before_its_header_found_room_ends_all_the_same) {
  Streams streams;
  const auto full = streams.call();
  ASSERT_TRUE(streams.ring.worker->complete(full.first, full.second, 200, {}, std::string(kPool, 'x')));
  const auto stream = streams.open();
  streams.cancel(stream);
  streams.end(stream);
  (void)streams.ring.receive();
  EXPECT_EQ(streams.read_all(stream), "");
  streams.expect_every_block_is_free();
}

TEST(Streams, those_who_are_not_read_leave_half_of_the_pool_to_calls) {
  Streams streams;
  for (int i = 0; i < 3; ++i) {
    const auto stream = streams.listen();
    streams.write(stream, std::string(kPool, 'x'));
  }
  EXPECT_LE(streams.take_what_came(), kPool / 2);
  const auto call = streams.call();
  ASSERT_TRUE(streams.ring.worker->complete(call.first, call.second, 200, {}, std::string(kPool / 2 - kBlockBytes, 'y'),
                                            WorkerEnd::Otherwise::kNothing));
  EXPECT_EQ(streams.ring.receive().sequence, call.second);
}

TEST(Streams, one_that_is_not_read_does_not_hold_up_another_one) {
  Streams streams;
  std::vector<Called> stalled;
  for (int i = 0; i < 10; ++i) {
    stalled.push_back(streams.listen());
    streams.write(stalled.back(), std::string(kPool, 'x'));
    streams.take_what_came();
    const auto other = streams.listen();
    for (int piece = 0; piece < 10; ++piece) {
      streams.write(other, "news");
      auto came = streams.ring.client->poll().value();
      ASSERT_TRUE(came.has_value()) << "with " << i + 1 << " stalled";
      EXPECT_EQ(came->sequence, other.second);
      EXPECT_EQ(came->answer.body(), "news");
      came.reset();
      EXPECT_FALSE(streams.ring.worker->take().value().has_value());
    }
    streams.end(other);
    EXPECT_FALSE(streams.ring.receive().more);
  }
}

TEST(Streams, five_hundred_that_are_not_read_do_not_stop_calls) {
  Streams streams(64UL << 20U, kDefaultSegmentBytes);
  for (int i = 0; i < 500; ++i) {
    const auto stream = streams.listen();
    streams.write(stream, std::string(10'000, 'x'));
  }
  streams.take_what_came();
  for (int i = 0; i < 100; ++i) {
    const auto call = streams.call();
    ASSERT_TRUE(streams.ring.worker->complete(call.first, call.second, 200, "h", std::string(1UL << 20U, 'y'),
                                              WorkerEnd::Otherwise::kNothing));
    EXPECT_EQ(streams.ring.receive().sequence, call.second);
    EXPECT_FALSE(streams.ring.worker->take().value().has_value());
  }
}

TEST(Streams, a_slot_is_used_again_while_the_last_pieces_of_its_old_stream_are_out) {
  Streams streams(64UL << 20U, kDefaultSegmentBytes);
  for (int round = 0; round < 20; ++round) {
    const auto stream = streams.listen();
    streams.write(stream, std::string(30'000, 'x'));
    streams.end(stream);
    streams.take_what_came();
    EXPECT_EQ(streams.ended, round + 1) << "the old loans hold up nobody";
  }
  std::swap(streams.held.front(), streams.held.back());  // given back in any order
  streams.held.clear();
  EXPECT_FALSE(streams.ring.worker->take().value().has_value());
  const auto stream = streams.listen();
  streams.write(stream, std::string(kPool, 'x'));
  streams.end(stream);
  EXPECT_EQ(streams.read_all(stream).size(), kPool);
  EXPECT_EQ(streams.ring.worker->refusal(), "");
}

TEST(Streams, many_at_once_share_the_room_and_each_gets_all_of_its_own) {
  Streams streams;
  std::map<std::uint64_t, std::string> bodies;
  std::vector<Called> open;
  for (int i = 0; i < 40; ++i) open.push_back(streams.listen());
  for (int i = 0; i < 40; ++i) {
    streams.write(open[static_cast<std::size_t>(i)], std::string(100'000, static_cast<char>('A' + i)));
    streams.end(open[static_cast<std::size_t>(i)]);
  }
  for (int ended = 0; ended < 40;) {
    if (auto piece = streams.ring.client->poll().value()) {
      bodies[piece->sequence].append(piece->answer.body());
      ended += piece->more ? 0 : 1;
    } else {
      ASSERT_FALSE(streams.ring.worker->take().value().has_value());
    }
  }
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(bodies[open[i].second], std::string(100'000, static_cast<char>('A' + i)));
  }
  streams.expect_every_block_is_free();
}

TEST(Streams, a_worker_that_sleeps_on_one_is_rung_when_there_is_room) {
  Streams streams;
  const auto stream = streams.listen();
  streams.write(stream, std::string(2 * kPool, 'x'));
  ASSERT_TRUE(streams.ring.worker->park());
  const std::uint64_t before = streams.ring.client->doorbells_rung();
  EXPECT_TRUE(streams.ring.receive().more);  // whose loan is dropped at once
  EXPECT_EQ(streams.ring.client->doorbells_rung(), before + 1);
}

TEST(Streams, one_with_nothing_to_say_costs_its_client_no_bell) {
  Streams streams;
  const auto stream = streams.listen();
  streams.write(stream, "news");
  ASSERT_TRUE(streams.ring.worker->park());
  const std::uint64_t before = streams.ring.client->doorbells_rung();
  EXPECT_EQ(streams.ring.receive().answer.body(), "news");
  EXPECT_EQ(streams.ring.client->doorbells_rung(), before);
}

TEST(Streams, a_piece_waits_for_room_and_not_for_answers_to_be_taken) {
  Streams streams(64UL << 20U, 2 * kDefaultSegmentBytes);
  const auto stream = streams.listen();
  for (int i = 0; i < 900; ++i) {
    const auto call = streams.call();
    ASSERT_TRUE(streams.ring.worker->complete(call.first, call.second, 200, {}, {}));
  }
  streams.write(stream, "news");
  ASSERT_TRUE(streams.ring.worker->park());
  for (int i = 0; i < 900; ++i) EXPECT_FALSE(streams.ring.receive().more);
  // Taking them gave no room back, and so rang nobody.
  const auto piece = streams.ring.client->poll().value();
  ASSERT_TRUE(piece.has_value());
  EXPECT_EQ(piece->answer.body(), "news");
}

TEST(Streams, a_thousand_that_nobody_reads_leave_room_for_all_their_ends) {
  Streams streams(64UL << 20U, 2 * kDefaultSegmentBytes);
  std::vector<Called> open;
  for (int i = 0; i < 1000; ++i) {
    open.push_back(streams.open());
    if (i < 500) streams.write(open.back(), std::string(3 * kBlockBytes, 'x'));
  }
  for (const auto& stream : open) streams.end(stream);
  EXPECT_EQ(streams.ring.worker->refusal(), "");
  std::size_t bytes = 0;
  for (int turn = 0; turn < 10'000 && streams.ended < 1000; ++turn) {
    bytes += streams.take_what_came();
    streams.held.clear();
    EXPECT_FALSE(streams.ring.worker->take().value().has_value());
  }
  EXPECT_EQ(streams.ended, 1000);
  EXPECT_EQ(bytes, 500 * 3 * std::size_t{kBlockBytes});
  EXPECT_EQ(streams.ring.worker->refusal(), "");
}

TEST(Streams, the_room_of_an_answer_that_is_given_up_goes_to_one_that_waits) {
  Streams streams;
  auto [claim, handle] = test::lend_body(streams.ring, "asked");
  ASSERT_TRUE(streams.ring.worker->lend(handle, std::string(kPool - kBlockBytes, 'x')).ok());
  const auto stream = streams.listen();
  streams.write(stream, std::string(10 * kBlockBytes, 'y'));
  ASSERT_TRUE(streams.ring.worker->park());
  const std::uint64_t before = streams.ring.client->doorbells_rung();
  EXPECT_FALSE(streams.ring.client->poll().value().has_value());
  streams.ring.client->abandon(std::move(claim));
  EXPECT_EQ(streams.ring.client->doorbells_rung(), before + 1);
  streams.ring.worker->unpark();
  EXPECT_FALSE(streams.ring.worker->take().value().has_value());
  EXPECT_EQ(streams.ring.receive().answer.body().size(), 10 * std::size_t{kBlockBytes});
}

TEST(Streams, of_a_refused_ring_go_nowhere_and_hurt_nobody) {
  Streams streams;
  const auto early = streams.open();
  const auto late = streams.call();
  std::string_view reason;
  const Handle lie{.ring = test::kRing + 1, .generation = test::kGeneration, .slot = 0, .sequence = 1};
  EXPECT_EQ(streams.ring.worker->read(lie).error().code, Code::kPeerLied);
  EXPECT_NE(streams.ring.worker->refusal(), "");
  EXPECT_EQ(streams.write(early, std::string(kPool, 'x')), Room::kMore);
  streams.end(early);
  streams.ring.worker->begin_stream(late.first, late.second, 200, "head");
  EXPECT_EQ(streams.write(late, "x"), Room::kMore);
  streams.end(late);
}

}  // namespace
}  // namespace ringside::shm
