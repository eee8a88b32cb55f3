#pragma once
// A ring client that does as a test says: it attaches by hand and writes its segment raw.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unix_socket.h"
#include "contextforge/mcp/runtime/v1/runtime.pb.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/layout.h"
#include "shm/segment.h"
#include "shm/segment_header.h"

namespace ringside::worker {

inline std::string attach_request(std::uint32_t version = 1, std::uint32_t features = 3, bool hangs_up = false) {
  ring::v1::AttachRequest request;
  request.set_version(version);
  request.set_features(features);
  request.set_client("raw");
  request.set_hangs_up(hangs_up);
  return request.SerializeAsString();
}

/// The next message on a socket of ours, or nothing once the other end is closed.
inline std::optional<Datagram> next_message(int socket) {
  pollfd watched{socket, POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 30'000), 1) << "the worker neither answers nor closes";
  auto received = receive_message(socket, 4096);
  if (!received.ok() || received->end_of_file) return std::nullopt;
  return std::move(*received);
}

inline bool closes(int socket) { return !next_message(socket).has_value(); }

/// The reply to one message with these descriptors; `socket` stays open.
inline ring::v1::AttachReply knock(int socket, const std::string& message, const std::vector<int>& descriptors,
                                   std::vector<UniqueFd>* received = nullptr) {
  const Status sent = send_message(socket, message, descriptors);
  EXPECT_TRUE(sent.ok());
  auto answer = next_message(socket);
  ring::v1::AttachReply reply;
  EXPECT_TRUE(answer.has_value());
  if (!answer) return reply;
  EXPECT_TRUE(reply.ParseFromString(answer->bytes));
  if (received != nullptr) *received = std::move(answer->descriptors);
  return reply;
}

inline UniqueFd dial(const std::string& dir) {
  return std::move(connect_to(dir + "/ring.sock", SocketKind::kSeqPacket)).value();
}

class RawRing {
 public:
  explicit RawRing(const std::string& dir, std::uint32_t features = 3, bool hangs_up = false)
      : segment_(std::move(shm::Segment::create(shm::kMinSegmentBytes)).value()), socket_(dial(dir)) {
    segment().header = shm::make_header(shm::Side::kClient, segment_.size(), 0, 0);
    reply_ = knock(socket_.get(), attach_request(1, features, hangs_up), {segment_.fd()}, &descriptors_);
    EXPECT_EQ(reply_.refusal(), "");
    EXPECT_EQ(descriptors_.size(), 3U);
  }

  [[nodiscard]] shm::RequestSegment& segment() const {
    return *reinterpret_cast<shm::RequestSegment*>(segment_.data());
  }
  [[nodiscard]] const ring::v1::AttachReply& reply() const { return reply_; }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] int doorbell() const { return descriptors_.at(1).get(); }
  void hang_up() { socket_.reset(); }
  [[nodiscard]] UniqueFd take_channel() { return std::move(descriptors_.at(2)); }

  /// Writes an entry without asking whether it makes sense.
  void submit(std::uint32_t slot) {
    segment().submissions[tail_ % shm::kSubmissions] = slot;
    segment().submission_tail.value.store(++tail_);
    ring_doorbell();
  }
  void ring_doorbell() {
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(descriptors_.at(1).get(), &one, sizeof one), 8);
  }
  /// Fills a slot with a whole call, one run from `first_block` on.
  shm::Slot& fill(std::uint32_t slot, std::uint64_t sequence, const std::string& header, std::size_t body_bytes = 0,
                  std::uint32_t first_block = 0) {
    std::memcpy(segment_.data() + shm::pool_offset(shm::Side::kClient) + first_block * shm::kBlockBytes, header.data(),
                header.size());
    shm::Slot& filled = segment().slots[slot];
    filled.flags.store(0);
    filled.header_bytes = static_cast<std::uint32_t>(header.size());
    filled.body_bytes = filled.total_bytes = body_bytes;
    filled.first_block = first_block;
    const std::size_t behind_header =
        (header.size() + shm::kBodyAlignment - 1) / shm::kBodyAlignment * shm::kBodyAlignment;
    filled.block_count = static_cast<std::uint32_t>(
        ((body_bytes > 0 ? behind_header + body_bytes : header.size()) + shm::kBlockBytes - 1) / shm::kBlockBytes);
    filled.sequence.store(sequence);
    return filled;
  }
  /// Waits until the worker has answered so many calls.
  [[nodiscard]] bool answered(std::uint32_t calls) const {
    return looking([calls](const shm::ResponseSegment& theirs) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (theirs.completion_tail.value.load() < calls && std::chrono::steady_clock::now() < end) ::sched_yield();
      return theirs.completion_tail.value.load() >= calls;
    });
  }
  /// Whether the worker's journal has that call.
  [[nodiscard]] bool taken(std::uint32_t slot, std::uint64_t sequence) const {
    return looking([&](const shm::ResponseSegment& theirs) { return theirs.taken[slot].load() == sequence; });
  }

 private:
  template <typename Look>
  [[nodiscard]] bool looking(const Look& look) const {
    void* const mapped =
        ::mmap(nullptr, sizeof(shm::ResponseSegment), PROT_READ, MAP_SHARED, descriptors_.at(0).get(), 0);
    EXPECT_NE(mapped, MAP_FAILED);
    const bool seen = look(*static_cast<const shm::ResponseSegment*>(mapped));
    ::munmap(mapped, sizeof(shm::ResponseSegment));
    return seen;
  }

  shm::Segment segment_;
  UniqueFd socket_;
  ring::v1::AttachReply reply_;
  std::vector<UniqueFd> descriptors_;
  std::uint32_t tail_ = 0;
};

inline std::string header_of(const std::string& method, const std::string& path) {
  contextforge::mcp::runtime::v1::McpRequest request;
  request.set_method(method);
  request.set_path(path);
  return request.SerializeAsString();
}

}  // namespace ringside::worker
