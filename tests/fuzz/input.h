#pragma once
// A fuzzer's bytes, read as numbers and choices. Behind their end everything is 0.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace ringside::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  template <typename T>
  T number() {
    static_assert(std::is_integral_v<T>);
    T value{};
    const std::size_t have = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), have);
    rest_.remove_prefix(have);
    return value;
  }
  /// Less than `limit`, which is at most 2^16.
  std::uint32_t below(std::uint32_t limit) {
    return limit <= 256 ? number<std::uint8_t>() % limit : number<std::uint16_t>() % limit;
  }
  bool flip() { return (number<std::uint8_t>() & 1U) != 0; }
  std::string_view bytes(std::size_t most) {
    const std::string_view taken = rest_.substr(0, std::min(most, rest_.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view all() { return bytes(rest_.size()); }

  /// A number of the kind that breaks arithmetic: small, around a power of two, at the very end, or any.
  std::uint64_t odd_number() {
    constexpr std::array<std::uint64_t, 14> kEdges = {0x7FFF'FFFF,
                                                      0x8000'0000,
                                                      0xFFFF'FFFF,
                                                      0x1'0000'0000,
                                                      0xFFFF'FFFF'FFFF'FFFF,
                                                      0x7FFF'FFFF'FFFF'FFFF,
                                                      4096,
                                                      2048,
                                                      1024,
                                                      224,
                                                      212,
                                                      0x10'0000,
                                                      0x80'0000,
                                                      64};
    switch (below(4)) {
      case 0:
        return number<std::uint8_t>();
      case 1:
        return kEdges.at(below(kEdges.size())) + static_cast<std::uint64_t>(number<std::int8_t>());
      case 2:
        return number<std::uint32_t>();
      default:
        return number<std::uint64_t>();
    }
  }

 private:
  std::string_view rest_;
};

}  // namespace ringside::fuzz
