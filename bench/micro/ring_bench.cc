// What one call through both ends of a ring costs, without a second process or a wake-up.

#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "base/check.h"
#include "shm/client_end.h"
#include "shm/worker_end.h"

#include <unistd.h>

namespace {

using namespace ringside;       // NOLINT(google-build-using-namespace)
using namespace ringside::shm;  // NOLINT(google-build-using-namespace)

UniqueFd copy_of(int fd) { return UniqueFd(::dup(fd)); }

void ring_echo(benchmark::State& state) {
  auto client = ClientEnd::create().value();
  std::string_view reason;
  auto worker = WorkerEnd::attach(copy_of(client->request_fd()), {.ring = 1}, reason).value();
  RS_CHECK(
      client->join(copy_of(worker->response_fd()), copy_of(worker->doorbell_fd()), {.ring = 1, .generation = 1}).ok(),
      "both ends fit");
  const std::string header(40, 'h');
  const std::string body(static_cast<std::size_t>(state.range(0)), 'b');
  for (auto unused : state) {
    auto claim = client->claim(header.size(), body.size()).value();
    header.copy(claim.header().data(), header.size());
    body.copy(claim.body().data(), body.size());
    client->publish(std::move(claim), SteadyTime::max());
    const auto taken = worker->take().value();
    RS_CHECK(taken.has_value(), "a call was published");
    RS_CHECK(worker->complete(taken->slot, taken->sequence, 200, taken->header, taken->body), "there is room");
    const auto answer = client->poll().value();
    RS_CHECK(answer.has_value(), "it was answered");
    std::string copy(answer->answer.body());
    benchmark::DoNotOptimize(copy);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

BENCHMARK(ring_echo)->Arg(0)->Arg(64)->Arg(4096)->Arg(65536)->Arg(1 << 20);

}  // namespace
