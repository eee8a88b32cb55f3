// The page of calls under way: written by one, read by another, full or half written.
#include "base/call_page.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "base/unique_fd.h"

namespace ringside {
namespace {

TEST(CallPage, tells_the_calls_under_way_the_oldest_first) {
  auto page = CallPage::create().value();
  const std::uint32_t late = page.begin(1, "tools/call", "t2", 20);
  page.begin(2, "ping", "t1", 10);
  auto calls = read_call_page(page.fd()).value();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].method, "ping");
  EXPECT_EQ(calls[1].trace, "t2");
  page.end(late);
  EXPECT_EQ(read_call_page(page.fd()).value().size(), 1U);
}

TEST(CallPage, takes_what_fits_and_cuts_what_is_long_or_not_printable) {
  auto page = CallPage::create().value();
  page.begin(0, std::string(1000, 'm'), "line\nbreak", 1);
  const auto calls = read_call_page(page.fd()).value();
  EXPECT_EQ(calls[0].method, std::string(59, 'm'));
  EXPECT_EQ(calls[0].trace, "line");
}

TEST(CallPage, a_full_one_notes_no_more_and_has_room_again) {
  auto page = CallPage::create().value();
  std::vector<std::uint32_t> entries;
  for (std::size_t i = 0; i < kCallEntries; ++i) entries.push_back(page.begin(0, "ping", "", i + 1));
  EXPECT_EQ(read_call_page(page.fd()).value().size(), kCallEntries);
  EXPECT_EQ(page.begin(0, "ping", "", 1), CallPage::kNone);
  page.end(CallPage::kNone);
  page.end(entries[100]);
  EXPECT_EQ(page.begin(0, "ping", "", 1), entries[100]);
}

TEST(CallPage, cannot_be_written_by_who_reads_it_and_nothing_else_passes_for_one) {
  const auto page = CallPage::create().value();
  EXPECT_EQ(::mmap(nullptr, kCallPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd(), 0), MAP_FAILED);
  const UniqueFd other(::memfd_create("other", MFD_CLOEXEC));
  EXPECT_EQ(read_call_page(other.get()).error().code, Code::kPeerLied);
}

}  // namespace
}  // namespace ringside
