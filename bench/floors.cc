#include "bench/floors.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "bench/peer.h"
#include "bench/peer_process.h"

namespace ringside::bench {
namespace {

struct EventfdFloor {
  UniqueFd ping{::eventfd(0, EFD_CLOEXEC)};
  UniqueFd pong{::eventfd(0, EFD_CLOEXEC)};
  PeerProcess peer{"eventfd", ping.get(), pong.get()};
};

/// A page that both sides map.
class SharedPage {
 public:
  SharedPage() {
    RS_CHECK(::ftruncate(memory_.get(), sizeof(FutexPage)) == 0, "a page can be had");
    void* mapped = ::mmap(nullptr, sizeof(FutexPage), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    RS_CHECK(mapped != MAP_FAILED, "a page can be mapped");
    page_ = static_cast<FutexPage*>(mapped);
  }
  ~SharedPage() { ::munmap(page_, sizeof(FutexPage)); }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  [[nodiscard]] int fd() const { return memory_.get(); }
  FutexPage* operator->() const { return page_; }

 private:
  UniqueFd memory_{::memfd_create("floor", MFD_CLOEXEC)};
  FutexPage* page_ = nullptr;
};

struct FutexFloor {
  SharedPage page;
  PeerProcess peer{"futex", page.fd()};
  std::uint32_t count = 0;
};

struct RingFloor {
  SharedPage page;
  UniqueFd doorbell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  PeerProcess peer{"doorbell", page.fd(), doorbell.get()};
  std::uint32_t count = 0;
};

}  // namespace

Contestant eventfd_ping_pong() {
  auto floor = std::make_shared<EventfdFloor>();
  return {.name = "eventfd ping-pong",
          .call =
              [floor] {
                eventfd_t value = 0;
                ::eventfd_write(floor->ping.get(), 1);
                ::eventfd_read(floor->pong.get(), &value);
              },
          .peers = {floor->peer.pid()}};
}

Contestant futex_ping_pong() {
  auto floor = std::make_shared<FutexFloor>();
  return {.name = "futex ping-pong",
          .call =
              [floor] {
                floor->page->ping.store(floor->count + 1, std::memory_order_release);
                futex_wake(floor->page->ping);
                futex_wait_change(floor->page->pong, floor->count++);
              },
          .peers = {floor->peer.pid()}};
}

Contestant ring_ping_pong() {
  auto floor = std::make_shared<RingFloor>();
  return {.name = "doorbell and futex",
          .call =
              [floor] {
                floor->page->ping.store(floor->count + 1, std::memory_order_release);
                ::eventfd_write(floor->doorbell.get(), 1);
                futex_wait_change(floor->page->pong, floor->count++);
              },
          .check = [floor] { return floor->page->pong.load(std::memory_order_relaxed) == floor->count; },
          .peers = {floor->peer.pid()}};
}

Contestant four_copies(std::size_t bytes) {
  struct Buffers {
    std::vector<char> a, b;
  };
  auto buffers = std::make_shared<Buffers>(Buffers{std::vector<char>(bytes, 'x'), std::vector<char>(bytes)});
  return {.name = "memcpy x 4", .call = [buffers] {
            for (int i = 0; i < 2; ++i) {
              std::memcpy(buffers->b.data(), buffers->a.data(), buffers->a.size());
              std::memcpy(buffers->a.data(), buffers->b.data(), buffers->b.size());
            }
          }};
}

}  // namespace ringside::bench
