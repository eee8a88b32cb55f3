// A program of its own, because it replaces the allocator to count.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "mcp/envelope.h"
#include "mcp/message.h"

namespace {
std::size_t allocations = 0;
}

// Out of line, so that the compiler does not set a visible free() against an allocation it cannot see.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
  return ::operator new(size, tag);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* memory = ::operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return ::operator new(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringside::mcp {
namespace {

TEST(EnvelopeReader, allocates_nothing_for_a_small_message_once_it_is_warm) {
  EnvelopeReader reader;
  Envelope envelope;
  const std::string body = padded_copy(
      R"({"method":"notifications/a_long_method_name","params":{"name":"echo","arguments":{"message":"hi"}},"jsonrpc":"2.0","id":1})");
  const auto read_once = [&] {
    return reader.read(body, envelope) == EnvelopeFault::kNone && reader.param("arguments").ok();
  };
  ASSERT_TRUE(read_once());
  const std::size_t before = allocations;
  bool is_fine = true;
  for (int i = 0; i < 100; ++i) is_fine = is_fine && read_once();
  EXPECT_EQ(allocations, before);
  EXPECT_TRUE(is_fine);
}

}  // namespace
}  // namespace ringside::mcp
