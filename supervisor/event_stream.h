#pragma once
// One `ringside events`: a stream of the book's events to one client. Included by control_server.cc alone, since it
// shows gRPC.

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "ringside/control/v1/control.pb.h"
#include "supervisor/event_book.h"

namespace ringside::supervisor {

/// Deletes itself when gRPC is done with it.
class EventStream final : public grpc::ServerWriteReactor<control::v1::Event> {
 public:
  static EventStream* start(EventBook& book, const control::v1::EventsRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class State { kIdle, kWriting, kOver };

  EventStream(EventBook& book, const control::v1::EventsRequest& request);
  /// Writes the next event if there is one and nothing is being written.
  void go_on();
  void end();

  EventBook& book_;
  const bool follow_;
  std::mutex mutex_;  ///< never held while gRPC is called, which may call back at once
  State state_ = State::kIdle;
  std::uint64_t after_;
  control::v1::Event current_;
  std::uint64_t token_ = 0;
  /// What the book holds of us; it may still call while we go.
  std::shared_ptr<EventStream*> self_;
  std::shared_ptr<std::mutex> self_mutex_;
};

}  // namespace ringside::supervisor
