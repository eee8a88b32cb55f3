#pragma once
// Bodies on their way in parts, for tests.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "rings.h"

namespace ringside::shm::test {

/// A ring whose two sides are driven by hand, and a body on its way in parts.
struct Upload {
  explicit Upload(const Ring& on, std::string header, std::string bytes) : ring(on), body(std::move(bytes)) {
    auto claim = ring.client->claim_in_parts(header.size(), body.size()).value();
    std::copy(header.begin(), header.end(), claim.header().begin());
    std::copy_n(body.begin(), claim.body().size(), claim.body().begin());
    sent = claim.body().size();
    slot = claim.slot();
    sequence = claim.sequence();
    ring.client->publish(std::move(claim), SteadyTime::max());
  }
  /// Fills and publishes the next part; false when nobody wants one.
  bool send_part() {
    const auto part = ring.client->next_part(slot, sequence);
    if (part.empty()) return false;
    std::copy_n(body.begin() + static_cast<std::ptrdiff_t>(sent), part.size(), part.begin());
    sent += part.size();
    ring.client->publish_part(slot, sequence);
    return true;
  }

  const Ring& ring;
  std::string body;
  std::size_t sent = 0;
  std::uint32_t slot = 0;
  std::uint64_t sequence = 0;
};

/// Both sides take turns until the call is with the worker whole.
inline WorkerEnd::Taken exchange(Upload& upload) {
  for (int turn = 0; turn < 10'000; ++turn) {
    if (auto taken = upload.ring.worker->take().value()) return std::move(*taken);
    const auto asked = upload.ring.client->poll().value();
    EXPECT_TRUE(asked.has_value() && asked->send_more);
    EXPECT_TRUE(upload.send_part());
  }
  ADD_FAILURE() << "the body never came";
  return {};
}

}  // namespace ringside::shm::test
