#include "tests/worker/fakes.h"

namespace ringside::test {

std::string auth_of(const std::string& email) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::string json = R"({"email":")" + email + R"("})";
  std::string encoded;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : json) {
    bits = (bits << 8U) | static_cast<unsigned char>(c);
    for (held += 8; held >= 6; held -= 6) encoded += kAlphabet[(bits >> (held - 6)) & 0x3FU];
  }
  if (held > 0) encoded += kAlphabet[(bits << (6 - held)) & 0x3FU];
  return encoded;
}

}  // namespace ringside::test
