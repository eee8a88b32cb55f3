#pragma once
// What a runtime is made of; seen by its own files alone.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mcp/envelope.h"
#include "mcp/session.h"
#include "worker/federation/federation.h"
#include "worker/runtime/event_writer.h"
#include "worker/runtime/forward.h"
#include "worker/runtime/homes.h"
#include "worker/runtime/ledger.h"
#include "worker/runtime/notices.h"
#include "worker/runtime/questions.h"
#include "worker/runtime/residents.h"
#include "worker/runtime/runtime.h"
#include "worker/runtime/sessions.h"
#include "worker/runtime/store_watch.h"
#include "worker/runtime/stream_book.h"
#include "worker/runtime/under_way.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

struct Runtime::State : std::enable_shared_from_this<Runtime::State> {
  State(RuntimeOptions options_in, const Clock& clock_in, Stores stores,
        std::vector<std::unique_ptr<Upstream>> upstreams, const std::atomic<std::uint64_t>& epoch_in,
        Invalidate invalidate_in)
      : options(std::move(options_in)),
        clock(clock_in),
        invalidate(std::move(invalidate_in)),
        ledger(std::make_shared<Ledger>(LedgerOptions{options.slow_call, options.id_seed}, clock)),
        sessions(options.session_ttl_ms, std::move(stores.sessions), epoch_in),
        epoch(epoch_in),
        writer(stores.events == nullptr
                   ? nullptr
                   : std::make_shared<EventWriter>(std::move(stores.events), options.event_ttl_ms, clock)),
        streams(std::make_shared<StreamBook>(ledger, writer)),
        homes(std::make_shared<Homes>(options.home, options.relay, sessions, ledger, clock)),
        questions(std::make_shared<Questions>(options.id_seed)),
        backends(std::make_shared<Backends>(std::move(upstreams))),
        federation(std::make_shared<Federation>(options.federation, clock, backends)),
        notices(std::make_shared<Notices>(backends, federation, streams, questions, residents, clock)),
        forward(std::make_shared<Forward>(options.call_timeout, options.max_body_bytes, clock, forward_parts())) {
    backends->attach(notices);
  }

  const RuntimeOptions options;
  const Clock& clock;
  const Invalidate invalidate;
  const std::shared_ptr<Ledger> ledger;
  const std::shared_ptr<Admissions> admissions = std::make_shared<Admissions>(options.admissions);
  Sessions sessions;
  const std::atomic<std::uint64_t>& epoch;
  const std::shared_ptr<EventWriter> writer;
  const std::shared_ptr<StreamBook> streams;
  const std::shared_ptr<Homes> homes;
  const std::shared_ptr<Questions> questions;
  const std::shared_ptr<Residents> residents = std::make_shared<Residents>();
  const std::shared_ptr<UnderWay> under_way = std::make_shared<UnderWay>();
  const std::shared_ptr<Backends> backends;
  const std::shared_ptr<Federation> federation;
  const std::shared_ptr<Notices> notices;
  const std::shared_ptr<Forward> forward;
  std::unique_ptr<StoreWatch> store_watch;         // after the sessions, which it asks
  mutable std::atomic<bool> asked_health = false;  // somebody wants to know how the upstreams are

  void serve(const std::shared_ptr<Call>& call);
  void look_after_streams();
  void look_after_upstreams();
  [[nodiscard]] Health health() const;
  void answer(const std::shared_ptr<Call>& call, mcp::Response response) { ledger->answer(call, std::move(response)); }

 private:
  using CallRef = std::shared_ptr<Call>;

  [[nodiscard]] ForwardParts forward_parts();
  void serve_post(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms);
  void serve_get(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms);
  void serve_delete(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms);
  [[nodiscard]] SessionOutcome enter(const mcp::Request& request, const std::string& id, const mcp::Caller& caller,
                                     std::int64_t now_ms, Sessions::Record& record);
  /// Counts the call; false: too many are under way, and it has been answered.
  [[nodiscard]] bool admit(const CallRef& call, const mcp::Envelope& envelope, const mcp::Caller& caller);
  /// Of each of its messages; reads them with that reader.
  void serve_batch(const CallRef& call, mcp::Envelope& envelope, mcp::EnvelopeReader& reader, const mcp::Caller& caller,
                   std::int64_t now_ms);
  /// `session` is null without one.
  void serve_message(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                     const mcp::Caller& caller, Sessions::Record session);
  void serve_request(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                     const mcp::Caller& caller, Sessions::Record session);
  void initialize(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                  const mcp::Caller& caller, std::int64_t now_ms);
  /// What is the business of the worker that the session lives in, which is this one.
  void serve_at_home(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                     const Sessions::Record& session);
  /// The same once the session has come to live here while the call was elsewhere.
  void serve_after_all(const CallRef& call, const Sessions::Record& session);
  /// Goes there, wherever it is.
  void go_home(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
               Sessions::Record session);
  void listen(const CallRef& call, const Sessions::Record& session);
  void hear_client(const mcp::SessionRecord& session, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                   std::string message);
  [[nodiscard]] bool has_ended(const std::string& session, std::int64_t now_ms);

  // Of look_after_streams(), which one thread calls.
  std::uint64_t looked_epoch_ = 0;
  SteadyTime look_by_{};
  bool looking_ = false;  // not all sessions have been asked of
  std::string looked_;    // the resident that was asked of last
  struct Look {
    SteadyTime at{};
    Duration again{0};  ///< 0: not failed yet
  };
  std::vector<Look> looks_;  // by upstream
};

}  // namespace ringside::worker
