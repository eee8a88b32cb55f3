#pragma once
// The calls that a worker has under way, on pages that only the worker writes and its supervisor reads once the worker
// is gone: what was it doing? A memfd of kCallPageBytes, sealed SHRINK|GROW|FUTURE_WRITE|SEAL after its writer has
// mapped it. No body, no argument, no header but a trace's id is ever written here.
//
//   512 entries of 128 bytes:
//   offset  0: uint64 started, CLOCK_MONOTONIC ns; 0: the entry is free. Written last, with release
//           8: uint32 door
//          12: method, 60 bytes, cut, closed by a zero byte
//          72: trace, 56 bytes, the same
//
// A dead worker's entry may be half written; who reads it believes nothing but its bounds.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside {

inline constexpr std::size_t kCallEntries = 512;

struct CallEntry {
  std::atomic<std::uint64_t> started_ns;
  std::uint32_t door;
  std::array<char, 60> method;
  std::array<char, 56> trace;
};
static_assert(sizeof(CallEntry) == 128 && offsetof(CallEntry, method) == 12 && offsetof(CallEntry, trace) == 72);
inline constexpr std::size_t kCallPageBytes = kCallEntries * sizeof(CallEntry);

/// The writer. Owns the mapping. Any thread notes; one note is one thread's at a time.
class CallPage {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  static Result<CallPage> create();
  CallPage(CallPage&& other) noexcept;
  CallPage& operator=(CallPage&&) = delete;
  ~CallPage();

  /// Takes an entry and notes the call; kNone when all are taken: then it is not noted, and nothing else happens.
  std::uint32_t begin(std::uint32_t door, std::string_view method, std::string_view trace, std::uint64_t now_ns);
  void end(std::uint32_t entry);
  /// To be sent to the supervisor; CLOEXEC.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  CallPage(UniqueFd fd, CallEntry* entries) : fd_(std::move(fd)), entries_(entries) {}
  UniqueFd fd_;
  CallEntry* entries_;
  std::array<std::atomic<bool>, kCallEntries> taken_{};
  std::atomic<std::uint32_t> hint_{0};
};

/// One call as the page tells it; texts are cut at anything that is not printable ASCII.
struct NotedCall {
  std::uint64_t started_ns = 0;
  std::uint32_t door = 0;
  std::string method;
  std::string trace;
};
/// What the page holds now, the oldest call first. kPeerLied: the size or the seals are not those of such a page.
Result<std::vector<NotedCall>> read_call_page(int fd);

}  // namespace ringside
