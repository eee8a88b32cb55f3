#include "base/epoch_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace ringside {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

UniqueFd memory_file(std::size_t bytes, int seals) {
  UniqueFd fd(::memfd_create("no-epoch", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST(EpochPage, its_reader_sees_each_advance) {
  auto page = EpochPage::create();
  ASSERT_TRUE(page.ok());
  auto mapped = EpochReader::map(page->fd());
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->counter().load(), 0U);
  EpochPage moved = std::move(page).value();
  moved.advance();
  moved.advance();
  EXPECT_EQ(mapped->counter().load(), 2U);
  const EpochReader taken = std::move(mapped).value();
  EXPECT_EQ(taken.counter().load(), 2U);
}

TEST(EpochPage, another_page_takes_its_place_where_it_is_read) {
  auto page = EpochPage::create();
  auto next = EpochPage::create(/*first=*/5);
  ASSERT_TRUE(page.ok() && next.ok());
  const auto reader = EpochReader::map(page->fd());
  ASSERT_TRUE(reader.ok());
  const auto& counter = reader->counter();
  ASSERT_TRUE(reader->follow(next->fd()).ok());
  EXPECT_EQ(counter.load(), 5U);
  page->advance();
  next->advance();
  EXPECT_EQ(counter.load(), 6U);
  EXPECT_FALSE(reader->follow(memory_file(kEpochPageBytes, 0).get()).ok());
  EXPECT_EQ(counter.load(), 6U);
}

TEST(EpochPage, nobody_but_its_maker_can_write_it) {
  auto page = EpochPage::create();
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(::mmap(nullptr, kEpochPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd(), 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(page->fd(), 0), 0);
  EXPECT_LT(::pwrite(page->fd(), "x", 1, 0), 0);
}

TEST(EpochPage, what_has_another_size_or_other_seals_is_refused) {
  EXPECT_TRUE(EpochReader::map(memory_file(kEpochPageBytes, kSeals).get()).ok());
  const UniqueFd refused[] = {
      memory_file(0, kSeals), memory_file(2 * kEpochPageBytes, kSeals), memory_file(kEpochPageBytes, 0),
      memory_file(kEpochPageBytes, kSeals & ~F_SEAL_FUTURE_WRITE), UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC))};
  for (const UniqueFd& fd : refused) {
    const auto mapped = EpochReader::map(fd.get());
    ASSERT_FALSE(mapped.ok());
    EXPECT_EQ(mapped.error().code, Code::kPeerLied);
  }
}

}  // namespace
}  // namespace ringside
