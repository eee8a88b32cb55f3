#include "client/cli/orders.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <ostream>
#include <thread>

#include "client/cli/operator_channel.h"
#include "ringside/control/v1/control.grpc.pb.h"

namespace ringside::cli {
namespace {

namespace control = ringside::control::v1;
using Clock = std::chrono::steady_clock;

constexpr auto kLookEvery = std::chrono::milliseconds(50);
constexpr double kLookTimeoutS = 5;

class Orders {
 public:
  Orders(const OrderCommand& command, std::ostream& out, std::ostream& err)
      : command_(command),
        out_(out),
        err_(err),
        socket_(command.runtime_dir + "/control.sock"),
        stub_(control::Control::NewStub(operator_channel(socket_))),
        end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(seconds(command.timeout_s))) {}

  ExitCode run() {
    grpc::Status status;
    const auto before = look(status);
    if (!before) return nobody(status);
    control::OrderResponse response;
    status = give(response);
    // A supervisor that leaves to its next program may cut the answer off; how it stands is looked up below.
    const bool cut = command_.kind == OrderKind::kUpgrade && status.error_code() == grpc::StatusCode::UNAVAILABLE;
    if (!status.ok() && !cut) return nobody(status);
    if (status.ok() && !response.accepted()) {
      for (const auto& fault : response.faults()) err_ << "ringside: " << fault << '\n';
      return kAnsweredWithError;
    }
    if (!command_.wait) return kFine;
    while (Clock::now() < end_) {
      if (const auto now = look(status); now && carried_out(*before, *now)) return tell(*now);
      std::this_thread::sleep_for(kLookEvery);
    }
    err_ << "ringside: accepted, but not carried out in time; `ringside status` and `ringside events` say more\n";
    return kAnsweredWithError;
  }

 private:
  grpc::Status give(control::OrderResponse& response) {
    grpc::ClientContext context;
    set_timeout(context, command_.timeout_s);
    control::WorkerRequest worker;
    worker.set_index(command_.number);
    switch (command_.kind) {
      case OrderKind::kWorkers: {
        control::SetWorkersRequest request;
        request.set_workers(command_.number);
        return stub_->SetWorkers(&context, request, &response);
      }
      case OrderKind::kDrain:
        return stub_->DrainWorker(&context, worker, &response);
      case OrderKind::kRestart:
        return stub_->RestartWorker(&context, worker, &response);
      case OrderKind::kReload:
        return stub_->Reload(&context, control::ReloadRequest(), &response);
      case OrderKind::kUpgrade:
        return stub_->Upgrade(&context, control::UpgradeRequest(), &response);
    }
    return grpc::Status::OK;
  }

  std::optional<control::StatusResponse> look(grpc::Status& status) {
    grpc::ClientContext context;
    set_timeout(context, std::min(command_.timeout_s, kLookTimeoutS));
    control::StatusResponse response;
    status = stub_->Status(&context, control::StatusRequest(), &response);
    if (!status.ok()) return std::nullopt;
    return response;
  }

  static const control::Worker* serving(const control::StatusResponse& status, std::uint32_t index) {
    for (const auto& worker : status.workers()) {
      if (worker.index() == index && worker.state() == control::Worker::STATE_READY) return &worker;
    }
    return nullptr;
  }

  [[nodiscard]] bool carried_out(const control::StatusResponse& before, const control::StatusResponse& now) const {
    switch (command_.kind) {
      case OrderKind::kWorkers:
        return !now.renewing() && std::none_of(now.workers().begin(), now.workers().end(),
                                               [&](const auto& worker) { return worker.index() >= command_.number; });
      case OrderKind::kDrain:
        return std::none_of(now.workers().begin(), now.workers().end(),
                            [&](const auto& worker) { return worker.index() == command_.number; });
      case OrderKind::kRestart: {
        const auto* then = serving(before, command_.number);
        const auto* is = serving(now, command_.number);
        return is != nullptr && (then == nullptr || then->pid() != is->pid());
      }
      case OrderKind::kReload:
        return !now.renewing();
      case OrderKind::kUpgrade:
        return now.upgrades() > before.upgrades() && !now.renewing();
    }
    return true;
  }

  ExitCode tell(const control::StatusResponse& now) {
    const auto ready = std::count_if(now.workers().begin(), now.workers().end(),
                                     [](const auto& worker) { return worker.state() == control::Worker::STATE_READY; });
    if (command_.kind == OrderKind::kUpgrade) out_ << "version " << now.version() << ", ";
    out_ << ready << " of " << now.workers_wanted() << " workers ready\n";
    return kFine;
  }

  ExitCode nobody(const grpc::Status& status) {
    err_ << "ringside: " << complaint_of(status, socket_, command_.runtime_dir) << '\n';
    return kNobodyAnswers;
  }

  const OrderCommand& command_;
  std::ostream& out_;
  std::ostream& err_;
  const std::string socket_;
  std::unique_ptr<control::Control::Stub> stub_;
  const Clock::time_point end_;
};

}  // namespace

ExitCode run_order(const OrderCommand& command, std::ostream& out, std::ostream& err) {
  return Orders(command, out, err).run();
}

}  // namespace ringside::cli
