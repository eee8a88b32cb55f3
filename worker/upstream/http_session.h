#pragma once
// The conversation with one Streamable HTTP server: its session, the requests that wait for it, the exchanges under
// way. Thread-safe. Kept alive by its exchanges; after close() they find it closed and do nothing.

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "http/client.h"
#include "mcp/envelope.h"
#include "mcp/message.h"
#include "worker/upstream/conversation.h"
#include "worker/upstream/http_post.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  /// `client` outlives the session; `timer` lives until close() has returned.
  HttpSession(HttpUpstreamOptions options, http::Client& client, Timer& timer);

  void send(UpstreamRequest request, UpstreamDone done);
  void cancel(std::uint64_t id);
  void resume(std::uint64_t id);
  /// Set before the first send.
  void on_tools_changed(std::function<void()> changed) { tools_changed_ = std::move(changed); }
  /// Ends every request with kCancelled, then the session at the upstream: best effort, 500 ms at the most.
  void close();
  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  enum class Phase { kNone, kOpening, kReady, kClosed };
  /// An exchange under way.
  struct Flight {
    std::uint64_t exchange = 0;
    Timer::Token linger;
    Timer::Token patience;         ///< with a reader that is waited for
    bool resumed = false;          ///< since it was last told something
    bool out_of_patience = false;  ///< it is waited for no more
  };
  struct Job {
    std::string message;
    UpstreamDone done;
    std::function<bool(std::string)> on_message;
    mcp::Headers headers;
    Timer::Token deadline;
    std::shared_ptr<Flight> flight;  ///< null while it waits for the session
    std::uint64_t generation = 0;    ///< of the session it was sent under
    bool in_session = false;         ///< the upstream had given that session an id, so it can lose it
    bool sent_again = false;
  };

  // These are called with mutex_ held.
  void dispatch(std::uint64_t id, Job& job);
  void open();
  void notify(std::string message);
  void reply(std::string message);
  std::shared_ptr<Flight> start(std::string message, std::optional<std::uint64_t> id, SteadyTime deadline,
                                std::function<void(PostResult)> result,
                                std::function<bool(std::string)> notice = nullptr, const mcp::Headers& headers = {});
  [[nodiscard]] http::ClientRequest request() const;
  [[nodiscard]] Job take(std::unordered_map<std::uint64_t, Job>::iterator job);
  [[nodiscard]] std::vector<UpstreamDone> take_all();

  // These take it; the first four are the HTTP client's callbacks.
  void answered(std::uint64_t id, PostResult result);
  void opened(PostResult result);
  void initialized(const PostResult& result);
  void heard(Incoming message);
  void linger(const std::shared_ptr<Flight>& flight);
  bool wait_for_reader(const std::shared_ptr<Flight>& flight);
  void over(const std::shared_ptr<Flight>& flight);
  void open_failed(const Error& error);
  void give_up(std::uint64_t id, const Error& error, std::string_view reason);

  const HttpUpstreamOptions options_;
  http::Client& client_;
  Timer& timer_;
  Tally tally_;
  std::function<void()> tools_changed_;
  mcp::EnvelopeReader reader_;  // the HTTP client's thread only

  std::mutex mutex_;
  Phase phase_ = Phase::kNone;
  std::uint64_t generation_ = 0;  // of the session; one more each time it is opened
  std::string session_id_;
  std::string version_;
  std::unordered_map<std::uint64_t, Job> jobs_;
  std::deque<std::uint64_t> waiting_;  // for the session; some may be given up already
  std::unordered_set<std::shared_ptr<Flight>> flights_;
  std::size_t replies_ = 0;  // answers to the upstream's questions that are under way
};

}  // namespace ringside::worker
