#include "http/body_reader.h"

#include <algorithm>

#include "base/text.h"
#include "mcp/message.h"

namespace ringside::http {
namespace {

constexpr std::size_t kFirstStep = 256ULL * 1024;  // what a promise alone may allocate
constexpr int kMaxSizeDigits = 16;

bool is_text(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

}  // namespace

void BodyReader::start_length(std::uint64_t length) {
  left_ = length;
  if (length > max_bytes_) return end(State::kTooLarge);
  state_ = length == 0 ? State::kDone : State::kMore;
}

void BodyReader::start_chunks() {
  chunked_ = true;
  state_ = State::kMore;
}

// Room for `bytes` more. What comes later doubles what came, so a lie about the length costs the liar as much as us.
void BodyReader::make_room(std::size_t bytes) {
  const std::size_t needed = filled_ + bytes;
  if (needed <= body_.size()) return;
  std::size_t size = std::max({needed, 2 * filled_, std::min<std::size_t>(left_, kFirstStep)});
  if (!chunked_) size = std::max(needed, std::min<std::size_t>(size, filled_ + left_));
  body_.reserve(size + mcp::kBodyPadding);
  body_.resize(size);
}

std::span<char> BodyReader::space() {
  if (chunked_ || state_ != State::kMore) return {};
  make_room(1);
  return {body_.data() + filled_, std::min<std::size_t>(body_.size() - filled_, left_)};
}

void BodyReader::commit(std::size_t bytes) {
  filled_ += bytes;
  left_ -= bytes;
  if (left_ == 0) state_ = State::kDone;
}

std::size_t BodyReader::feed(std::string_view bytes) {
  if (!chunked_) return state_ == State::kMore ? feed_data(bytes) : 0;
  std::size_t used = 0;
  while (used < bytes.size() && state_ == State::kMore) {
    if (chunk_ == Chunk::kData) {
      used += feed_data(bytes.substr(used));
    } else {
      feed_framing(bytes[used++]);
    }
  }
  return used;
}

std::size_t BodyReader::feed_data(std::string_view bytes) {
  bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), left_));
  make_room(bytes.size());
  std::copy(bytes.begin(), bytes.end(), body_.begin() + static_cast<std::ptrdiff_t>(filled_));
  filled_ += bytes.size();
  left_ -= bytes.size();
  if (left_ == 0) {
    if (chunked_) {
      chunk_ = Chunk::kDataEnd;
    } else {
      state_ = State::kDone;
    }
  }
  return bytes.size();
}

void BodyReader::feed_framing(char byte) {
  switch (chunk_) {
    case Chunk::kSize:
      return feed_size(byte);
    case Chunk::kExtension:
      if (byte == '\r') {
        chunk_ = Chunk::kSizeEnd;
      } else if (!is_text(byte) || ++framing_bytes_ > max_framing_bytes_) {
        end(State::kMalformed);
      }
      return;
    case Chunk::kSizeEnd:
      return expect(byte, '\n', left_ == 0 ? Chunk::kLine : Chunk::kData);
    case Chunk::kDataEnd:
      return expect(byte, '\r', Chunk::kDataEndLf);
    case Chunk::kDataEndLf:
      size_digits_ = 0;
      return expect(byte, '\n', Chunk::kSize);
    case Chunk::kLine:
      if (byte == '\r') {
        chunk_ = Chunk::kLastEnd;
        return;
      }
      chunk_ = Chunk::kTrailer;
      [[fallthrough]];
    case Chunk::kTrailer:
      if (byte == '\r') {
        chunk_ = Chunk::kTrailerEnd;
      } else if (!is_text(byte) || ++framing_bytes_ > max_framing_bytes_) {
        end(State::kMalformed);
      }
      return;
    case Chunk::kTrailerEnd:
      return expect(byte, '\n', Chunk::kLine);
    case Chunk::kLastEnd:
      return end(byte == '\n' ? State::kDone : State::kMalformed);
    case Chunk::kData:
      return;
  }
}

void BodyReader::feed_size(char byte) {
  if (const int value = hex_value(byte); value >= 0) {
    if (++size_digits_ > kMaxSizeDigits) return end(State::kMalformed);
    left_ = (size_digits_ == 1 ? 0 : left_ * 16) + static_cast<std::uint64_t>(value);
    return;
  }
  if (size_digits_ == 0) return end(State::kMalformed);
  if (left_ > max_bytes_ - filled_) return end(State::kTooLarge);
  if (byte == '\r') {
    chunk_ = Chunk::kSizeEnd;
  } else if (byte == ';' || byte == ' ' || byte == '\t') {
    chunk_ = Chunk::kExtension;
  } else {
    end(State::kMalformed);
  }
}

void BodyReader::expect(char byte, char wanted, Chunk next) {
  if (byte != wanted) return end(State::kMalformed);
  chunk_ = next;
}

std::string BodyReader::take() {
  body_.resize(filled_);
  body_.reserve(filled_ + mcp::kBodyPadding);
  return std::move(body_);
}

}  // namespace ringside::http
