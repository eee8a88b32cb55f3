// Clients that were written for what the wire was once: what they sent, byte by byte, and what they must be answered.
// tests/worker/recordings/ has one file for each version of the layout and each feature. A recording is never changed:
// where one fails, an old client in the field would.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/recording.h"
#include "tests/worker/raw_ring.h"
#include "tests/worker/ring_house.h"

namespace ringside::worker {
namespace {

/// An old client, as it was recorded, at a worker of today.
class Replay {
 public:
  explicit Replay(RingHouse& house)
      : house_(house),
        segment_(std::move(shm::Segment::create(shm::kMinSegmentBytes)).value()),
        socket_(dial(house.dir())) {}

  void play(ringside::test::RecordedLine line) {
    if (line.verb() == "write") {
      const std::uint64_t offset = line.number(16);
      store(offset, line.bytes());
    } else if (line.verb() == "fill") {
      const std::uint64_t offset = line.number(16);
      store(offset, line.filled());
    } else if (line.verb() == "attach") {
      reply_ = knock(socket_.get(), line.bytes(), {segment_.fd()}, &descriptors_);
      ASSERT_EQ(reply_.refusal(), "");
      ASSERT_EQ(descriptors_.size(), 3U);
    } else if (line.verb() == "granted") {
      EXPECT_EQ(reply_.version(), line.named("version"));
      EXPECT_EQ(reply_.features(), line.named("features"));
      EXPECT_EQ(reply_.generation(), line.named("generation"));
    } else if (line.verb() == "doorbell") {
      const std::uint64_t one = 1;
      ASSERT_EQ(::write(descriptors_.at(1).get(), &one, sizeof one), 8);
    } else if (line.verb() == "says") {
      ASSERT_TRUE(house_.held().wait_for(1));
      house_.held().say(line.bytes());
    } else if (line.verb() == "answers") {
      house_.held().release();
    } else if (line.verb() == "release") {
      release();
    } else if (line.verb() == "answer") {
      expect_answer(line);
    } else {
      FAIL() << "a recording says '" << line.verb() << "'";
    }
  }

 private:
  void store(std::uint64_t offset, const std::string& bytes) {
    ASSERT_LE(offset + bytes.size(), segment_.size());
    std::memcpy(segment_.data() + offset, bytes.data(), bytes.size());
  }

  void expect_answer(ringside::test::RecordedLine& line) {
    const std::size_t size = shm::kDefaultSegmentBytes;
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptors_.at(0).get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    const auto& theirs = *static_cast<const shm::ResponseSegment*>(mapped);
    ASSERT_TRUE(becomes_true([&] { return theirs.completion_tail.value.load() > answers_; }));
    const shm::Completion entry = theirs.completions[answers_++];
    EXPECT_EQ(entry.slot, line.named("slot"));
    EXPECT_EQ(entry.sequence, line.named("sequence"));
    EXPECT_EQ(entry.flags, line.named("flags"));
    EXPECT_EQ(static_cast<std::uint64_t>(entry.status), line.named("status"));
    line.expect("body");
    const std::uint64_t header_room =
        (entry.header_bytes + shm::kBodyAlignment - 1) / shm::kBodyAlignment * shm::kBodyAlignment;
    const auto* const run = static_cast<const char*>(mapped) + sizeof(shm::ResponseSegment) +
                            entry.first_block * std::uint64_t{shm::kBlockBytes};
    EXPECT_EQ(std::string(run + header_room, entry.body_bytes), line.bytes());
    if (entry.block_count > 0) lent_.push_back({entry.first_block, entry.block_count});
    ::munmap(mapped, size);
  }

  /// Gives back what the answers so far were lent in. Where that lay was the worker's business.
  void release() {
    auto& ours = *reinterpret_cast<shm::RequestSegment*>(segment_.data());
    for (const shm::Release& run : std::exchange(lent_, {})) ours.releases[releases_++ % shm::kReleases] = run;
    ours.release_tail.value.store(releases_);
  }

  RingHouse& house_;
  shm::Segment segment_;
  UniqueFd socket_;
  ring::v1::AttachReply reply_;
  std::vector<UniqueFd> descriptors_;
  std::uint32_t answers_ = 0;
  std::vector<shm::Release> lent_;
  std::uint32_t releases_ = 0;
};

std::string folder() { return ringside::test::source_dir() + "/tests/worker/recordings/"; }

class Recording : public ::testing::TestWithParam<std::string> {};

TEST_P(Recording, is_answered_as_it_was) {
  RingHouse house;
  Replay replay(house);
  ringside::test::replay(folder() + GetParam() + ".txt",
                         [&](ringside::test::RecordedLine line) { replay.play(std::move(line)); });
}

INSTANTIATE_TEST_SUITE_P(Wire, Recording, ::testing::Values("v1-ring", "v1-again", "v1-parts", "v1-streams"),
                         [](const auto& each) { return each.param.substr(0, 2) + "_" + each.param.substr(3); });

TEST(Recordings, are_all_replayed) { EXPECT_EQ(ringside::test::recordings_in(folder()), 4U); }

}  // namespace
}  // namespace ringside::worker
