#pragma once
// Reading bytes that a stranger may change at any moment: each is read once, into private memory, and only the copy is
// used.

#include <atomic>
#include <cstddef>
#include <string>
#include <type_traits>

namespace ringside::shm {

/// One load, that the compiler may neither repeat nor leave out.
template <typename T>
requires std::is_scalar_v<T>
[[nodiscard]] inline T read_once(const T& shared) { return *static_cast<const volatile T*>(&shared); }

// GCC warns that its thread sanitizer does not model fences; the program is right all the same.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
/// Between the reads of what a sequence number guards and the second look at that number.
inline void fence_acquire() { std::atomic_thread_fence(std::memory_order_acquire); }
/// Between the store that makes a sequence number stale and the writes that spoil what it guarded.
inline void fence_release() { std::atomic_thread_fence(std::memory_order_release); }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// A private copy of `bytes` bytes, with room for `padding` more behind its end. The one copy that a body gets.
[[nodiscard]] inline std::string copy_out(const std::byte* shared, std::size_t bytes, std::size_t padding = 0) {
  std::string copy;
  copy.reserve(bytes + padding);
  copy.assign(reinterpret_cast<const char*>(shared), bytes);
  return copy;
}

}  // namespace ringside::shm
