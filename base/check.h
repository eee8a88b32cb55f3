#pragma once
// RS_CHECK: our own bugs end the process, with the place and the promise that was broken. Never for a stranger's bytes.

namespace ringside::detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* promise) noexcept;
}  // namespace ringside::detail

#define RS_CHECK(condition, promise)                                             \
  do {                                                                           \
    if (!(condition)) [[unlikely]] {                                             \
      ::ringside::detail::check_failed(__FILE__, __LINE__, #condition, promise); \
    }                                                                            \
  } while (false)
