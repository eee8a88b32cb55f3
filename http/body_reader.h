#pragma once
// The body of one request: a stated length or chunks (RFC 9112, 7.1), taken byte by byte as it comes. Memory grows with
// what has really come, never with what was promised. Private to the server; pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ringside::http {

class BodyReader {
 public:
  enum class State { kMore, kDone, kTooLarge, kMalformed };

  /// `max_framing_bytes` bounds the chunks' extensions and the trailers, all together.
  BodyReader(std::size_t max_bytes, std::size_t max_framing_bytes)
      : max_bytes_(max_bytes), max_framing_bytes_(max_framing_bytes) {}

  void start_length(std::uint64_t length);
  void start_chunks();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool empty() const { return filled_ == 0; }
  /// Takes what belongs to the body; how many bytes that was.
  std::size_t feed(std::string_view bytes);
  /// Where the next bytes of a body of stated length can be read to directly; empty when they must go through feed().
  [[nodiscard]] std::span<char> space();
  void commit(std::size_t bytes);
  /// The whole body, with mcp::kBodyPadding behind its end.
  [[nodiscard]] std::string take();

 private:
  enum class Chunk { kSize, kExtension, kSizeEnd, kData, kDataEnd, kDataEndLf, kLine, kTrailer, kTrailerEnd, kLastEnd };

  void make_room(std::size_t bytes);
  std::size_t feed_data(std::string_view bytes);
  void feed_framing(char byte);
  void feed_size(char byte);
  void expect(char byte, char wanted, Chunk next);
  void end(State state) { state_ = state; }

  std::size_t max_bytes_;
  std::size_t max_framing_bytes_;
  State state_ = State::kDone;
  bool chunked_ = false;
  Chunk chunk_ = Chunk::kSize;
  int size_digits_ = 0;
  std::uint64_t left_ = 0;  // of the body, or of the chunk
  std::size_t framing_bytes_ = 0;
  std::string body_;  // its size runs ahead of what has come
  std::size_t filled_ = 0;
};

}  // namespace ringside::http
