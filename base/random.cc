#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/text.h"

namespace ringside {
namespace {

template <typename Bytes>
void fill(Bytes& bytes) {
  ssize_t got = 0;
  do {
    got = ::getrandom(&bytes, sizeof bytes, 0);
  } while (got < 0 && errno == EINTR);
  RS_CHECK(got == static_cast<ssize_t>(sizeof bytes), "getrandom fills up to 256 bytes at once");
}

}  // namespace

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  fill(value);
  return value;
}

std::string random_uuid4() {
  std::array<unsigned char, 16> bytes{};
  fill(bytes);
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x40U);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
    append_hex(out, bytes[i]);
  }
  return out;
}

}  // namespace ringside
