// What several upstreams can do together, from what each said of itself when its session was opened.

#include <chrono>
#include <utility>

#include "mcp/envelope.h"
#include "mcp/json_scan.h"
#include "worker/federation/state.h"

namespace ringside::worker {
namespace {

struct Known {
  std::string_view name;
  std::string_view always;  ///< what we add to it: the lists are ours, and we say when they change
};
// Beyond those nothing is promised: what the runtime does not relay, nobody serves here.
constexpr Known kKnown[] = {{"tools", R"({"listChanged":true})"},
                            {"prompts", R"({"listChanged":true})"},
                            {"resources", R"({"listChanged":true})"},
                            {"completions", "{}"},
                            {"logging", "{}"},
                            {"tasks", "{}"}};

std::string merge_values(const std::string& first, const std::string& second) {
  if (first.starts_with('{') && second.starts_with('{')) return merge_objects(first, second);
  return first == "false" && second == "true" ? second : first;
}

/// `text` in the place of the last quote of a raw string.
void append_inside(std::string& out, std::string_view raw_string) {
  if (const auto inside = mcp::inside_of_string(raw_string)) out.append(*inside);
}

}  // namespace

std::string merge_objects(const std::string& first, const std::string& second) {
  std::string out = "{";
  const auto add = [&](std::string_view raw_key, const std::string& value) {
    if (out.size() > 1) out.push_back(',');
    out.append("\"").append(raw_key).append("\":").append(value);
  };
  for (mcp::MemberWalk walk(first); walk.next();) {
    const auto key = mcp::decode_string("\"" + std::string(walk.key()) + "\"");
    const auto other = key ? mcp::member(second, *key) : std::nullopt;
    add(walk.key(), other ? merge_values(std::string(walk.value()), std::string(*other)) : std::string(walk.value()));
  }
  for (mcp::MemberWalk walk(second); walk.next();) {
    const auto key = mcp::decode_string("\"" + std::string(walk.key()) + "\"");
    if (!key || !mcp::member(first, *key)) add(walk.key(), std::string(walk.value()));
  }
  return out + "}";
}

std::optional<std::string> Federation::State::capability(std::size_t upstream, std::string_view name) const {
  const auto introduction = backends->introduction(upstream);
  if (!introduction) {
    // The builtin tools are no server that introduces itself; a list of tools says enough.
    if (name == "tools" && tools->answered(upstream)) return "{}";
    return std::nullopt;
  }
  const auto capabilities = mcp::member(*introduction, "capabilities");
  const auto raw = capabilities ? mcp::member(*capabilities, name) : std::nullopt;
  if (!raw || !raw->starts_with('{')) return std::nullopt;
  return std::string(*raw);
}

bool Federation::State::declares(std::size_t upstream, std::string_view name, std::string_view inside) const {
  const auto raw = capability(upstream, name);
  return raw && (inside.empty() || mcp::member(*raw, inside) == "true");
}

bool Federation::State::was_asked(std::size_t upstream) const {
  return backends->introduction(upstream) != nullptr || tools->asked(upstream);
}

std::uint64_t Federation::State::with_introductions(std::size_t scope, std::uint64_t waiter,
                                                    std::function<void()> then) {
  bool all = true;
  for (std::size_t index = 0; index < backends->size(); ++index) {
    all = all && (!(*scopes)[scope].members[index] || was_asked(index));
  }
  if (all) {
    then();
    return 0;
  }
  // A list of tools is what opens an upstream's session. Whoever takes `then` out calls it.
  const auto shared = std::make_shared<std::function<void()>>(std::move(then));
  const auto is_done = std::make_shared<std::atomic<bool>>(false);
  tools->wait(scope, waiter, [shared, is_done](const ListViewRef& /*view*/) {
    is_done->store(true, std::memory_order_relaxed);
    (*shared)();
  });
  if (is_done->load(std::memory_order_relaxed)) return 0;
  timer->arm(std::chrono::steady_clock::now() + options.patience, [weak = std::weak_ptr(tools), waiter, shared] {
    const auto cache = weak.lock();
    if (cache && cache->forget(waiter)) (*shared)();
  });
  return waiter;
}

Introduction Federation::State::introduction(std::size_t scope) const {
  Introduction result;
  std::string texts;
  std::string_view only;  // of one text
  std::size_t count = 0;
  std::string known[std::size(kKnown)];
  std::vector<std::shared_ptr<const std::string>> kept;
  for (std::size_t index = 0; index < backends->size(); ++index) {
    if (!(*scopes)[scope].members[index]) continue;
    const auto said = kept.emplace_back(backends->introduction(index));
    const bool is_known = said || tools->answered(index);
    for (std::size_t i = 0; i < std::size(kKnown); ++i) {
      // What is late or down for now may bring any list, and says so when it comes (list_changed).
      const bool may_come = !is_known && kKnown[i].always != "{}";
      const auto raw = may_come ? std::optional<std::string>("{}") : capability(index, kKnown[i].name);
      if (raw) known[i] = known[i].empty() ? *raw : merge_objects(known[i], *raw);
    }
    const auto text = said ? mcp::member(*said, "instructions") : std::nullopt;
    if (!text || text->size() <= 2 || !text->starts_with('"')) continue;
    ++count;
    only = *text;
    texts.append(count > 1 ? R"(\n\n)" : "").append("# ").append(backends->name(index)).append(R"(\n\n)");
    append_inside(texts, *text);
  }
  for (std::size_t i = 0; i < std::size(kKnown); ++i) {
    if (known[i].empty()) continue;
    result.capabilities += (result.capabilities.empty() ? "\"" : ",\"") + std::string(kKnown[i].name) +
                           "\":" + merge_objects(known[i], std::string(kKnown[i].always));
  }
  result.capabilities = "{" + result.capabilities + "}";
  if (count == 1) result.instructions = only;
  if (count > 1) result.instructions = "\"" + texts + "\"";
  return result;
}

void Federation::introduce(std::string_view server_id, std::function<void(Introduction)> ready) {
  const auto scope = state_->scope_of(server_id);
  if (!scope) return ready({"{}", {}});
  state_->with_introductions(*scope, next_waiter(), [state = state_, scope = *scope, ready = std::move(ready)] {
    ready(state->introduction(scope));
  });
}

}  // namespace ringside::worker
