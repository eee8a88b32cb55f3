#include "tests/chaos/streamed.h"

#include <algorithm>
#include <cstring>

namespace ringside::shm::chaos {
namespace {

constexpr std::uint64_t kShort = 20'000;
constexpr std::uint64_t kLong = 900'000;  // nearly a segment, and more than may wait before the writer is told
constexpr std::uint64_t kSmallPiece = 3'000;
constexpr std::uint64_t kLargePiece = 100'000;
constexpr int kPiecesInOneGo = 4;

}  // namespace

std::string streamed_for(const Label& label) {
  std::mt19937_64 random(label.hash ^ label.id);
  const std::uint64_t kind = below(random, 16);
  std::string content(kind == 0 ? 0 : below(random, kind < 5 ? kLong : kShort), '\0');
  if (kind == 0) return content;
  for (std::size_t i = 0; i < content.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(content.data() + i, &word, std::min(sizeof word, content.size() - i));
  }
  const std::uint64_t hash = std::hash<std::string_view>()(content);
  return content.append(reinterpret_cast<const char*>(&hash), sizeof hash);
}

Writers::Writers(WorkerEnd& end) : end_(end) {
  // On this thread: the only one that sends.
  end.on_room([this](std::uint32_t slot, std::uint64_t sequence) {
    for (Writer& writer : writers_) {
      if (writer.slot == slot && writer.sequence == sequence) writer.slow = false;
    }
  });
}

void Writers::begin(const WorkerEnd::Taken& call, const Label& label) {
  writers_.push_back({.slot = call.slot, .sequence = call.sequence, .content = streamed_for(label)});
  end_.begin_stream(call.slot, call.sequence, 200, call.header);
}

bool Writers::end(std::uint32_t slot, std::uint64_t sequence) {
  const auto at = std::find_if(writers_.begin(), writers_.end(), [&](const Writer& writer) {
    return writer.slot == slot && writer.sequence == sequence;
  });
  if (at == writers_.end()) return false;
  writers_.erase(at);
  end_.end_stream(slot, sequence);
  return true;
}

void Writers::write_some(Writer& writer, std::mt19937_64& random) {
  for (int piece = 0; piece < kPiecesInOneGo && !writer.slow && writer.at < writer.content.size(); ++piece) {
    const std::size_t most = below(random, 4) == 0 ? kLargePiece : kSmallPiece;
    const std::size_t bytes = std::min<std::size_t>(writer.content.size() - writer.at, 1 + below(random, most));
    const auto room =
        end_.write_stream(writer.slot, writer.sequence, std::string_view(writer.content).substr(writer.at, bytes));
    promise(room != WorkerEnd::Room::kCut, "nothing is cut that waits when it is told to");
    writer.at += bytes;
    writer.slow = room == WorkerEnd::Room::kSlow;
  }
}

int Writers::write(std::mt19937_64& random) {
  int ended = 0;
  for (std::size_t i = 0; i < writers_.size();) {
    Writer& writer = writers_[i];
    if (!writer.slow) write_some(writer, random);
    if (writer.slow || writer.at < writer.content.size()) {
      ++i;
      continue;
    }
    (void)end(writer.slot, writer.sequence);
    ++ended;
  }
  return ended;
}

bool Writers::may_write() const {
  return std::any_of(writers_.begin(), writers_.end(), [](const Writer& writer) { return !writer.slow; });
}

}  // namespace ringside::shm::chaos
