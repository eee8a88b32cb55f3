#include "base/call_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace ringside {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr std::uint32_t kMostLooks = 16;  // for a free entry: a full page must not slow a call down

template <std::size_t N>
void copy_text(std::array<char, N>& to, std::string_view text) {
  to[text.copy(to.data(), N - 1)] = '\0';
}

template <std::size_t N>
std::string text_of(const std::array<char, N>& from) {
  std::string out;
  for (const char c : from) {
    if (c < 0x20 || c > 0x7e) break;
    out.push_back(c);
  }
  return out;
}

}  // namespace

Result<CallPage> CallPage::create() {
  UniqueFd fd(::memfd_create("ringside-calls", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), kCallPageBytes) != 0 || ::fallocate(fd.get(), 0, 0, kCallPageBytes) != 0) {
    return Error{Code::kSystem, errno, "the page of calls cannot be made"};
  }
  void* page = ::mmap(nullptr, kCallPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED) return Error{Code::kSystem, errno, "the page of calls cannot be mapped"};
  CallPage calls(std::move(fd), static_cast<CallEntry*>(page));
  if (::fcntl(calls.fd(), F_ADD_SEALS, kSeals) != 0) {
    return Error{Code::kSystem, errno, "the page of calls cannot be sealed"};
  }
  return calls;
}

CallPage::CallPage(CallPage&& other) noexcept
    : fd_(std::move(other.fd_)), entries_(std::exchange(other.entries_, nullptr)) {}

CallPage::~CallPage() {
  if (entries_ != nullptr) ::munmap(entries_, kCallPageBytes);
}

std::uint32_t CallPage::begin(std::uint32_t door, std::string_view method, std::string_view trace,
                              std::uint64_t now_ns) {
  const std::uint32_t first = hint_.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < kMostLooks; ++i) {
    const std::uint32_t at = (first + i) % kCallEntries;
    // Acquire pairs with end(): the entry's last user has written all that it will.
    if (taken_[at].load(std::memory_order_relaxed) || taken_[at].exchange(true, std::memory_order_acquire)) continue;
    hint_.store(at + 1, std::memory_order_relaxed);
    CallEntry& entry = entries_[at];
    entry.door = door;
    copy_text(entry.method, method);
    copy_text(entry.trace, trace);
    entry.started_ns.store(now_ns, std::memory_order_release);
    return at;
  }
  hint_.store(first + kMostLooks, std::memory_order_relaxed);
  return kNone;
}

void CallPage::end(std::uint32_t entry) {
  if (entry == kNone) return;
  entries_[entry].started_ns.store(0, std::memory_order_relaxed);
  hint_.store(entry, std::memory_order_relaxed);
  taken_[entry].store(false, std::memory_order_release);
}

Result<std::vector<NotedCall>> read_call_page(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || info.st_size != kCallPageBytes || ::fcntl(fd, F_GET_SEALS) != kSeals) {
    return Error{Code::kPeerLied, 0, "what came as the page of calls is none"};
  }
  const void* page = ::mmap(nullptr, kCallPageBytes, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return Error{Code::kSystem, errno, "the page of calls cannot be mapped"};
  std::vector<NotedCall> calls;
  const auto* entries = static_cast<const CallEntry*>(page);
  for (std::size_t i = 0; i < kCallEntries; ++i) {
    const std::uint64_t started = entries[i].started_ns.load(std::memory_order_acquire);
    if (started == 0) continue;
    calls.push_back({started, entries[i].door, text_of(entries[i].method), text_of(entries[i].trace)});
  }
  ::munmap(const_cast<void*>(page), kCallPageBytes);
  std::sort(calls.begin(), calls.end(), [](const auto& a, const auto& b) { return a.started_ns < b.started_ns; });
  return calls;
}

}  // namespace ringside
