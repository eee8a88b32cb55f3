#pragma once
// One conversation with a Streamable HTTP server: its session there, the requests that wait for it, the exchanges under
// way. Thread-safe. Kept alive by its exchanges; after close() they find it closed and do nothing.

#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "http/client.h"
#include "mcp/message.h"
#include "worker/upstream/conversation.h"
#include "worker/upstream/http_hub.h"
#include "worker/upstream/http_post.h"
#include "worker/upstream/http_stream.h"
#include "worker/upstream/timer.h"

namespace ringside::worker {

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  /// `timer` lives until close() has returned. `persona`: null for the conversation that all share.
  HttpSession(std::shared_ptr<HttpHub> hub, Timer& timer, PersonaRef persona);

  void send(UpstreamRequest request, UpstreamDone done);
  void cancel(std::uint64_t id);
  void resume(std::uint64_t id);
  /// From now on a GET stream is kept open while the session stands, if the upstream has one.
  void listen();
  /// A notification, or an answer to a question, in the session as it stands; dropped when there is none.
  void post(std::string message);
  /// Ends every request with kCancelled, then the session at the upstream. The future is there once nothing of it is
  /// under way any more and the upstream has answered, which it gets half a second for.
  std::future<void> close();
  /// Something is under way, or somebody listens.
  [[nodiscard]] bool busy();

 private:
  enum class Phase { kNone, kOpening, kReady, kClosed };
  /// An exchange under way.
  struct Flight {
    http::Client* road = nullptr;
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
    std::function<bool(UpstreamQuestion)> on_question;
    mcp::Headers headers;
    Timer::Token deadline;
    std::shared_ptr<Flight> flight;  ///< null while it waits for the session
    std::uint64_t generation = 0;    ///< of the session it was sent under
    bool in_session = false;         ///< the upstream had given that session an id, so it can lose it
    bool repeatable = false;
    bool sent = false;  ///< so that the upstream is told when it is given up
    bool sent_again = false;
    std::string last_event_id;  ///< of its stream; empty: it cannot be resumed
    int vain_resumptions = 0;
    Timer::Token resumption;
  };
  /// What close() waits for.
  struct Closing {
    std::promise<void> promise;
    std::size_t left = 1;  ///< exchanges, and the farewell
  };
  /// The GET stream.
  struct Ear {
    bool wanted = false;
    int tries = 0;          ///< to open it, in vain
    bool none = false;      ///< the upstream has none
    bool was_open = false;  ///< in this session of the upstream's
    std::string last_event_id;
    std::shared_ptr<Flight> flight;
    Timer::Token again;
  };
  /// What is sent, and who hears what comes back.
  struct Sending {
    std::string message;
    std::optional<std::uint64_t> id = {};  ///< of a request
    SteadyTime deadline = SteadyTime::max();
    std::function<void(PostResult)> result;
    const Job* job = nullptr;  ///< whose headers and callbacks count
    bool repeatable = false;
    std::string last_event_id = {};  ///< set: the stream behind it is asked for, by GET
  };

  // These are called with mutex_ held.
  void dispatch(std::uint64_t id, Job& job);
  void open();
  void side_post(std::string message);
  void refuse(const Incoming& question);
  std::shared_ptr<Flight> start(http::Client& road, Sending sending);
  [[nodiscard]] Post::Hooks hooks_for(const std::shared_ptr<Flight>& flight, Sending& sending);
  [[nodiscard]] http::ClientRequest request() const;
  [[nodiscard]] http::ClientRequest stream_request(const std::string& last_event_id) const;
  [[nodiscard]] Job take(std::unordered_map<std::uint64_t, Job>::iterator job);
  [[nodiscard]] std::vector<UpstreamDone> take_all();
  [[nodiscard]] bool goes_again(const Job& job, const PostResult& result) const;
  [[nodiscard]] bool goes_on(std::uint64_t id, Job& job, PostResult& result);
  /// One thing less that close() waits for.
  void one_over();
  void open_ear();
  void forget_ear();
  void listen_again(Duration pause);

  // These take it; most are the HTTP clients' callbacks.
  void answered(std::uint64_t id, PostResult result);
  void opened(PostResult result);
  void initialized(const PostResult& result);
  void open_failed(const Error& error);
  void go_on(std::uint64_t id);
  void ear_closed(const std::shared_ptr<Flight>& flight, std::uint64_t generation, StreamEnd end);
  void heard(Incoming incoming, std::string message);
  void linger(const std::shared_ptr<Flight>& flight);
  bool wait_for_reader(const std::shared_ptr<Flight>& flight);
  void over(const std::shared_ptr<Flight>& flight);
  void give_up(std::uint64_t id, const Error& error, std::string_view reason);

  const std::shared_ptr<HttpHub> hub_;
  Timer& timer_;
  const PersonaRef persona_;

  std::mutex mutex_;
  Phase phase_ = Phase::kNone;
  std::uint64_t generation_ = 0;  // of the session; one more each time it is opened
  std::string session_id_;
  std::string version_;
  std::unordered_map<std::uint64_t, Job> jobs_;
  std::deque<std::uint64_t> waiting_;  // for the session; some may be given up already
  std::unordered_set<std::shared_ptr<Flight>> flights_;
  Ear ear_;
  std::optional<Closing> closing_;
  std::size_t refusals_ = 0;  // of the upstream's questions, under way
};

}  // namespace ringside::worker
