#pragma once
// The epoch: one counter on one page that the supervisor writes and every worker maps to read. It moves on when
// something that workers may have cached has changed; a worker that reads a new value drops what it has cached. The
// page is a memfd of 4096 bytes, sealed SHRINK|GROW|FUTURE_WRITE|SEAL: the kernel lets nobody but its writer's mapping
// write, and a reader never faults.
//
//   offset 0: uint64, host order, written with release, read with acquire; the rest is zero

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside {

inline constexpr std::size_t kEpochPageBytes = 4096;

/// The writer. Owns the mapping and the descriptor. Move only; one thread advances.
class EpochPage {
 public:
  /// A page whose counter begins at `first`.
  static Result<EpochPage> create(std::uint64_t first = 0);
  EpochPage(EpochPage&& other) noexcept;
  EpochPage& operator=(EpochPage&&) = delete;
  ~EpochPage();

  void advance();
  /// To be sent to workers; CLOEXEC.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  EpochPage(UniqueFd fd, void* page, std::uint64_t first);
  UniqueFd fd_;
  std::atomic<std::uint64_t>* counter_;
};

/// A reader. Owns its mapping and needs the descriptor no more once it has it. Move only; any thread reads.
class EpochReader {
 public:
  /// kPeerLied: the size or the seals are not those of an epoch page.
  static Result<EpochReader> map(int fd);
  EpochReader(EpochReader&& other) noexcept;
  EpochReader& operator=(EpochReader&&) = delete;
  ~EpochReader();

  /// Another page takes this one's place: whoever reads the counter reads the new one from now on. For a supervisor
  /// that has changed its program, and so lost its mapping, which nobody can make again. kPeerLied as in map(). Any
  /// thread.
  [[nodiscard]] Status follow(int fd) const;

  /// Lies on the page: good while the reader it came from, or the one that this was moved to, lives.
  [[nodiscard]] const std::atomic<std::uint64_t>& counter() const { return *counter_; }

 private:
  explicit EpochReader(const std::atomic<std::uint64_t>* counter) : counter_(counter) {}
  const std::atomic<std::uint64_t>* counter_;
};

}  // namespace ringside
