#pragma once
// One stream of server-sent events: the answer to a POST (plain JSON as long as nothing comes before it), or what a GET
// hears. In a session its events are numbered and kept, so that a client whose connection broke goes on with another
// call where it stopped. Through a door that has no streams (a unary gRPC call whose accept header names them, say) the
// answer of a POST is the whole stream's text.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/runtime/call.h"
#include "worker/runtime/event_writer.h"
#include "worker/runtime/ledger.h"

namespace ringside::worker {

/// True when the caller's door streams, or its accept header names text/event-stream.
[[nodiscard]] bool takes_events(Call& call);
/// 200 and the headers of an event stream.
[[nodiscard]] mcp::Response event_stream_head();

struct StreamFacts {
  StreamHead head;                      ///< an empty token: events are not numbered
  std::shared_ptr<EventWriter> writer;  ///< keeps them, if they are
  bool primed = false;                  ///< begins with an event that has a number and says nothing
  std::size_t max_text_bytes = 0;       ///< for a door without streams
  std::uint64_t next = 0;               ///< the number of the next event
};

/// An event id as clients get it: `<token>-<number>`.
struct EventId {
  std::string token;
  std::uint64_t number = 0;
};
[[nodiscard]] std::optional<EventId> read_event_id(std::string_view text);

/// Thread-safe. Held by shared_ptr; a call knows it weakly.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, StreamFacts facts);
  /// One that is known from the log alone; take_over() with that call follows.
  [[nodiscard]] static std::shared_ptr<Stream> revive(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger,
                                                      StreamFacts facts);

  [[nodiscard]] const std::string& token() const { return facts_.head.token; }
  [[nodiscard]] bool numbered() const { return !facts_.head.token.empty(); }
  [[nodiscard]] bool answers_post() const { return !facts_.head.request_id.empty(); }

  /// Begins a GET's stream, which hears until its call is cancelled. False: the call is over already.
  bool open();
  /// A message before the answer; nothing once that has come. False: the caller is slow, see
  /// UpstreamRequest::on_message.
  bool message(std::string_view json);
  /// A message that could go elsewhere: false, and nothing done, when nobody hears it here (or, if `unheard`, when
  /// nobody can come back for it).
  bool say(std::string_view json, bool unheard = false);
  /// The answer itself, once.
  void answer(mcp::Response response);
  /// Ends without an answer: the client said that it wants none, or its session ended. `retry_ms`: when to come back;
  /// 0: not said.
  void end(int retry_ms = 0);

  /// `call` takes the place of the call before, and gets what came after that number first.
  void resume(const std::shared_ptr<Call>& call, std::uint64_t after);
  /// What the log has said comes to that call, if it still is the one that waits for it.
  void take_over(const std::shared_ptr<Call>& call, const Result<std::optional<Replay>>& replay);

  /// The call is gone. The stream goes on if somebody may come back.
  void detach(const Call* call);
  /// Somebody hears it right now.
  [[nodiscard]] bool heard();
  /// Nothing will be said any more.
  [[nodiscard]] bool over();
  /// `hook` runs when there is room again after message() said no. Replaces the one before.
  void on_room(std::function<void()> hook);

 private:
  bool begin(const std::shared_ptr<Call>& call);  // these need mutex_
  Written put(std::string_view json, bool last);
  std::string numbered_event(std::string_view json, bool last);
  void catch_up(const std::shared_ptr<Call>& call, const Replay& replay);
  void watch(const std::shared_ptr<Call>& call);

  const std::shared_ptr<Ledger> ledger_;
  StreamFacts facts_;
  std::mutex mutex_;
  std::shared_ptr<Call> call_;    // who hears; null: nobody
  std::shared_ptr<Call> coming_;  // who will, once the log has been read
  std::vector<std::string> meanwhile_;
  std::function<void()> room_hook_;
  bool streams_ = true;  // the door does
  bool begun_ = false;
  bool over_ = false;
  bool too_large_ = false;
  std::string text_;  // for a door without streams
};

}  // namespace ringside::worker
