#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ringside::detail {

void check_failed(const char* file, int line, const char* condition, const char* promise) noexcept {
  std::fprintf(stderr, "ringside: a promise was broken at %s:%d: %s (%s)\n", file, line, promise, condition);
  std::abort();
}

}  // namespace ringside::detail
