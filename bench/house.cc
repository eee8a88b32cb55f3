#include "bench/house.h"

#include <csignal>
#include <utility>

#include "bench/options.h"

namespace ringside::bench {
namespace {

constexpr auto kHotSpin = std::chrono::milliseconds(20);
constexpr int kHotWorkerSpinUs = 2000;

std::string config_of(const HouseOptions& options) {
  const std::string spin = options.spin_us < 0 ? "" : R"(, "spinUs": )" + std::to_string(options.spin_us);
  return R"({"mcpServers": {"builtin": {"builtin": true}}, "transportEcho": true, "rings": {"perWorker": )" +
         std::to_string(options.rings) + R"(, "segmentBytes": )" + std::to_string(options.segment_mib << 20U) + spin +
         "}}";
}

}  // namespace

const char* to_string(Mode mode) {
  switch (mode) {
    case Mode::kHot:
      return "hot";
    case Mode::kParked:
      return "parked";
    case Mode::kDefault:
      break;
  }
  return "default";
}

House::House(const HouseOptions& options) : dir_(folder_.file("run")), workers_(options.workers) {
  test::write_file(folder_.file("ringside.json"), config_of(options));
  supervisor_ = std::make_unique<test::Process>(
      test::ProcessOptions{.argv = {test::program("ringsided"), "--config", folder_.file("ringside.json"),
                                    "--runtime-dir", dir_, "--workers", std::to_string(workers_)},
                           .stderr_path = folder_.file("log")});
  std::shared_ptr<Client> client;
  const bool ready = test::eventually([&] {
    auto connected = Client::connect({.runtime_dir = dir_, .door = DoorChoice::kRing});
    if (connected.ok()) client = std::move(connected).value();
    return client != nullptr;
  });
  if (!ready) throw GiveUp("ringsided did not become ready:\n" + test::read_file(folder_.file("log")));
  CallTrace trace;
  CallOptions call;
  call.trace = &trace;
  Request first;
  first.method = "POST";
  first.path = "/_ringside/echo";
  (void)client->call(std::move(first), call);
  worker_ = trace.worker_pid;
  if (worker_ == 0) throw GiveUp("the worker cannot be told");
}

std::string House::log() const { return test::read_file(folder_.file("log")); }

void House::wait_ready() const {
  const bool ready = test::eventually([&] {
    const std::string text = log();
    int workers = 0;
    for (std::size_t at = 0; (at = text.find(" ready: its doors are open", at)) != std::string::npos; ++at) ++workers;
    return workers >= workers_;
  });
  if (!ready) throw GiveUp("not every worker became ready:\n" + log());
}

House::~House() {
  supervisor_->signal(SIGTERM);
  supervisor_->wait();
}

std::shared_ptr<Client> House::connect(DoorChoice door, Mode mode) const {
  ClientOptions options;
  options.runtime_dir = dir_;
  options.door = door;
  if (mode == Mode::kHot) options.spin = kHotSpin;
  return bench::connect(std::move(options));
}

House& Houses::of(Mode mode) {
  auto& house = houses_[mode];
  if (house == nullptr) {
    house = std::make_unique<House>(HouseOptions{.spin_us = mode == Mode::kHot      ? kHotWorkerSpinUs
                                                            : mode == Mode::kParked ? 0
                                                                                    : -1});
  }
  return *house;
}

std::shared_ptr<Client> connect(ClientOptions options) {
  options.client_name = "bench";
  const std::string door(to_string(options.door));
  auto client = Client::connect(std::move(options));
  if (!client.ok()) throw GiveUp("door " + door + " is not open: " + std::string(client.error().message));
  return std::move(client).value();
}

}  // namespace ringside::bench
