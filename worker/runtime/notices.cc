#include "worker/runtime/notices.h"

#include <utility>

#include "mcp/envelope.h"

namespace ringside::worker {
namespace {

constexpr Duration kSaidAgain = std::chrono::seconds(1);

std::string_view message_of(UpstreamSink::List list) {
  switch (list) {
    case UpstreamSink::List::kTools:
      return R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})";
    case UpstreamSink::List::kPrompts:
      return R"({"jsonrpc":"2.0","method":"notifications/prompts/list_changed"})";
    case UpstreamSink::List::kResources:
      break;
  }
  return R"({"jsonrpc":"2.0","method":"notifications/resources/list_changed"})";
}

}  // namespace

Notices::Notices(std::shared_ptr<Backends> backends, std::shared_ptr<Federation> federation,
                 std::shared_ptr<StreamBook> streams, std::shared_ptr<Questions> questions,
                 std::shared_ptr<Residents> residents, const Clock& clock)
    : backends_(std::move(backends)),
      federation_(std::move(federation)),
      streams_(std::move(streams)),
      questions_(std::move(questions)),
      residents_(std::move(residents)),
      clock_(clock) {}

std::uint64_t Notices::news_of(std::size_t upstream, List list) {
  const std::uint64_t reads = reads_.load(std::memory_order_relaxed);
  const SteadyTime now = clock_.now();
  const std::lock_guard lock(mutex_);
  Change& change = changes_[{upstream, list}];
  if (change.news == 0 || change.reads != reads || now - change.at >= kSaidAgain) change = {++news_, reads, now};
  return change.news;
}

void Notices::list_changed(std::size_t upstream, const PersonaRef& persona, List list) {
  federation_->list_changed(upstream, list);
  // A session with a conversation of its own hears it there.
  if (persona != nullptr) {
    streams_->tell(persona->session, message_of(list), false);
    return;
  }
  streams_->tell_all(message_of(list), news_of(upstream, list),
                     [&](const std::string& session, const std::string& server_id) {
                       return federation_->sees(server_id, upstream) && !residents_->has_spoken_to(session, upstream);
                     });
}

void Notices::notice(std::size_t upstream, const PersonaRef& persona, std::string method, std::string message) {
  // Progress of no call that is under way: nobody waits for it.
  if (method == "notifications/progress") return;
  if (persona != nullptr && method == "notifications/cancelled") {
    if (const auto back = questions_->take_back(upstream, persona->session, std::move(message))) {
      streams_->tell(persona->session, *back);
    }
    return;
  }
  if (persona != nullptr) {
    streams_->tell(persona->session, message);
    return;
  }
  if (method != "notifications/resources/updated") return;
  const auto params = mcp::member(message, "params");
  const auto uri = params ? mcp::member(*params, "uri") : std::nullopt;
  if (!uri) return;
  for (const std::string& session : residents_->subscribers(upstream, *uri)) streams_->tell(session, message);
}

bool Notices::question(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question) {
  return ask(upstream, persona, std::move(question), nullptr);
}

bool Notices::ask(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question, Stream* stream) {
  if (persona == nullptr || !can_be_asked(persona->capabilities, question.method)) return false;
  const bool ping = question.method == "ping";
  const std::string raw_id = question.raw_id;
  std::string message = questions_->ask(upstream, persona, std::move(question));
  if (stream != nullptr && stream->say(message)) return true;
  if (ping ? streams_->tell(persona->session, message) : streams_->ask(persona->session, message)) return true;
  // Nobody can be asked: then the question is none.
  if (const auto id = mcp::member(message, "id")) {
    static_cast<void>(questions_->answer(persona->session, std::string(*id), message));
  }
  if (!ping) return false;
  backends_->reply(upstream, persona, mcp::result_body(raw_id, "{}"));
  return true;
}

void Notices::reopened(std::size_t upstream, const PersonaRef& persona) {
  if (persona == nullptr) return;
  const Residents::Wishes wishes = residents_->wishes(persona->session, upstream);
  if (!wishes.raw_level.empty()) say_again(upstream, persona, "logging/setLevel", "level", wishes.raw_level);
  for (const std::string& uri : wishes.raw_uris) say_again(upstream, persona, "resources/subscribe", "uri", uri);
}

void Notices::say_again(std::size_t upstream, const PersonaRef& persona, std::string_view method, std::string_view key,
                        std::string_view raw_value) {
  UpstreamRequest request;
  request.id = backends_->next_id();
  request.persona = persona;
  request.message = R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + R"(,"method":")";
  request.message.append(method).append(R"(","params":{")").append(key).append(R"(":)").append(raw_value).append("}}");
  // What it answers changes nothing: the client was told of success once.
  backends_->send(upstream, std::move(request), [](const Result<std::string>&) {});
}

}  // namespace ringside::worker
