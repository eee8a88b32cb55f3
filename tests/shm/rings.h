#pragma once
// Rings for tests: both ends in one process over the two mappings, and ends whose peer is a liar that writes its
// segment raw.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "shm/client_end.h"
#include "shm/layout.h"
#include "shm/run.h"
#include "shm/segment_header.h"
#include "shm/worker_end.h"

namespace ringside::shm::test {

inline constexpr std::uint64_t kRing = 0x1122334455667788;
inline constexpr std::uint32_t kGeneration = 7;

inline UniqueFd duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

inline WorkerEndOptions worker_options(std::uint64_t segment_bytes = kMinSegmentBytes) {
  WorkerEndOptions options;
  options.segment_bytes = segment_bytes;
  options.ring = kRing;
  options.generation = kGeneration;
  return options;
}

/// An attached ring. `client` goes first, so its loans and claims must be gone by then.
struct Ring {
  explicit Ring(std::uint64_t client_bytes = kMinSegmentBytes, std::uint64_t worker_bytes = kMinSegmentBytes)
      : Ring(client_bytes, worker_options(worker_bytes)) {}
  Ring(std::uint64_t client_bytes, const WorkerEndOptions& options) {
    client = ClientEnd::create(client_bytes).value();
    std::string_view reason;
    worker = WorkerEnd::attach(duplicate(client->request_fd()), options, reason).value();
    const Status joined = client->join(duplicate(worker->response_fd()), duplicate(worker->doorbell_fd()),
                                       {options.ring, options.generation, options.features});
    RS_CHECK(joined.ok(), "a fresh pair joins");
  }

  /// Publishes a call with that header and body.
  std::pair<std::uint32_t, std::uint64_t> send(std::string_view header, std::string_view body,
                                               SteadyTime deadline = SteadyTime::max()) const {
    auto claim = client->claim(header.size(), body.size()).value();
    std::copy(header.begin(), header.end(), claim.header().begin());
    std::copy(body.begin(), body.end(), claim.body().begin());
    const auto call = std::make_pair(claim.slot(), claim.sequence());
    client->publish(std::move(claim), deadline);
    return call;
  }
  /// The next call, which must be there.
  [[nodiscard]] WorkerEnd::Taken take() const { return worker->take().value().value(); }
  /// The next answer, which must be there.
  [[nodiscard]] ClientEnd::Taken receive() const { return client->poll().value().value(); }

  std::unique_ptr<WorkerEnd> worker;
  std::unique_ptr<ClientEnd> client;
};

/// Claims a body, fills it and lends it.
inline std::pair<ClientEnd::Claim, Handle> lend_body(const Ring& ring, std::string_view body) {
  auto claim = ring.client->claim(0, body.size()).value();
  std::copy(body.begin(), body.end(), claim.body().begin());
  const Handle handle = ring.client->lend(claim);
  return {std::move(claim), handle};
}

inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* const given = std::getenv("RINGSIDE_SEED");
    const std::uint64_t chosen = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("RINGSIDE_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return value;
}

inline std::string random_bytes(std::mt19937_64& random, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(text.data() + i, &word, std::min(sizeof word, bytes - i));
  }
  return text;
}

}  // namespace ringside::shm::test
