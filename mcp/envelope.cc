#include "mcp/envelope.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "mcp/json_grammar.h"
#include "mcp/json_scan.h"
#include "mcp/message.h"

static_assert(simdjson::SIMDJSON_PADDING <= ringside::mcp::kBodyPadding, "bodies are parsed where they lie");

namespace ringside::mcp {
namespace {

/// Longer bodies are judged by the grammar alone, which needs no memory. A tape of this many bytes touches, at the
/// worst, 8 B for each on the tape, 4 B in the index and 5/3 B of strings: 55 MiB a reader, which stay with it.
constexpr std::size_t kMaxTapeBytes = 4ULL << 20U;
/// What a reader allocates at first, so that small messages never make it grow.
constexpr std::size_t kMinTapeBytes = 64ULL << 10U;
/// Lists longer than this are not kept for the next message.
constexpr std::size_t kMaxKeptKeys = 1024;
/// Fewer keys are compared each with each.
constexpr std::size_t kFewKeys = 16;

/// simdjson's counts stop here.
constexpr std::size_t kCountLimit = 0xFFFFFF;
std::size_t known_count(const simdjson::dom::object& object) {
  const std::size_t count = object.size();
  return count < kCountLimit ? count : 0;
}

bool is_string(std::string_view raw) { return raw.starts_with('"'); }
bool is_number(std::string_view raw) { return !raw.empty() && (raw[0] == '-' || (raw[0] >= '0' && raw[0] <= '9')); }
bool is_container(std::string_view raw) { return raw.starts_with('{') || raw.starts_with('['); }

bool has_equal_pair(std::vector<std::string_view>& keys) {
  if (keys.size() > kFewKeys) {
    std::sort(keys.begin(), keys.end());
    return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
  }
  for (std::size_t i = 1; i < keys.size(); ++i) {
    if (std::find(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(i), keys[i]) !=
        keys.begin() + static_cast<std::ptrdiff_t>(i)) {
      return true;
    }
  }
  return false;
}

template <typename Container>
void clear_or_release(Container& container, std::size_t max_kept) {
  if (container.capacity() > max_kept) {
    Container().swap(container);
  } else {
    container.clear();
  }
}

/// How a byte is written in a string; a size of 0: by the library.
struct Escape {
  std::array<char, 2> bytes{};
  std::uint8_t size = 0;
};
constexpr std::array<Escape, 256> kEscapes = [] {
  std::array<Escape, 256> escapes{};
  for (std::size_t byte = 0x20; byte < escapes.size(); ++byte) escapes[byte] = {{static_cast<char>(byte), 0}, 1};
  escapes['"'] = {{'\\', '"'}, 2};
  escapes['\\'] = {{'\\', '\\'}, 2};
  return escapes;
}();

/// The raw values of the members that make an envelope; a missing one has no data.
struct Members {
  std::string_view jsonrpc;
  std::string_view method;
  std::string_view id;
  std::string_view params;
  std::string_view result;
  std::string_view error;

  std::string_view* place_of(std::string_view key) {
    if (key == "jsonrpc") return &jsonrpc;
    if (key == "method") return &method;
    if (key == "id") return &id;
    if (key == "params") return &params;
    if (key == "result") return &result;
    if (key == "error") return &error;
    return nullptr;
  }
};

/// What JSON-RPC 2.0 asks of a message besides being JSON.
bool is_json_rpc(const Members& members) {
  const auto version = inside_of_string(members.jsonrpc);
  if (!version || !decodes_to(*version, "2.0")) return false;
  if (!members.id.empty() && !is_string(members.id) && !is_number(members.id)) return false;
  if (!members.params.empty() && !is_container(members.params)) return false;
  const bool has_result = !members.result.empty();
  const bool has_error = !members.error.empty();
  if (!members.method.empty()) return is_string(members.method) && !has_result && !has_error;
  return has_result != has_error && !members.id.empty();
}

}  // namespace

struct EnvelopeReader::State {
  struct Param {
    std::string_view key;  // raw
    std::string_view value;
  };

  simdjson::dom::parser parser;
  simdjson::dom::document document;
  bool has_tape = false;  // `document` holds the message read last
  std::vector<std::string_view> keys;
  std::string decoded;  // what keys with escapes decode to
  std::string_view params;
  std::vector<Param> param_index;
  bool is_indexed = false;

  bool validate(const std::string& body) {
    has_tape = body.size() <= kMaxTapeBytes && make_tape(body);
    return has_tape || is_json_text(body);
  }

  /// False when simdjson does not take it: also for numbers too large for it, which are JSON all the same. (Its depth
  /// does not count the innermost container when that is empty, so kMaxDepth here never admits one level more.)
  bool make_tape(const std::string& body) {
    if (parser.capacity() < body.size() || document.capacity() < body.size()) {
      const std::size_t bytes = std::max(std::bit_ceil(body.size()), kMinTapeBytes);
      if (parser.allocate(bytes, kMaxDepth) != simdjson::SUCCESS || document.allocate(bytes) != simdjson::SUCCESS) {
        return false;
      }
    }
    const bool copy_first = body.capacity() - body.size() < simdjson::SIMDJSON_PADDING;
    return parser.parse_into_document(document, body.data(), body.size(), copy_first).error() == simdjson::SUCCESS;
  }

  /// The members of the whole message, or of its params; 0 where it is not known.
  std::size_t count_of_message() const {
    simdjson::dom::object object;
    return has_tape && document.root().get(object) == simdjson::SUCCESS ? known_count(object) : 0;
  }
  std::size_t count_of_params() const {
    simdjson::dom::object object;
    return has_tape && document.root()["params"].get(object) == simdjson::SUCCESS ? known_count(object) : 0;
  }

  /// Finds the envelope's members; false when a key stands twice.
  bool find_members(std::string_view text, Members& members) {
    keys.clear();
    decoded.clear();
    for (MemberWalk walk(text, count_of_message()); walk.next();) {
      const std::string_view key = decoded_key(walk.key(), text.size());
      keys.push_back(key);
      if (std::string_view* place = members.place_of(key)) *place = walk.value();
    }
    const bool are_distinct = !has_equal_pair(keys);
    clear_or_release(keys, kMaxKeptKeys);
    clear_or_release(decoded, kMinTapeBytes);
    return are_distinct;
  }

  std::string_view decoded_key(std::string_view inside, std::size_t most) {
    if (inside.find('\\') == std::string_view::npos) return inside;
    decoded.reserve(most);  // once, so that earlier views stay good: decoding never makes a string longer
    const std::size_t begin = decoded.size();
    append_decoded(decoded, inside);
    return std::string_view(decoded).substr(begin);
  }

  void index_params() {
    for (MemberWalk walk(params, count_of_params()); walk.next();) param_index.push_back({walk.key(), walk.value()});
    is_indexed = true;
  }
};

EnvelopeReader::EnvelopeReader() : state_(std::make_unique<State>()) {}
EnvelopeReader::~EnvelopeReader() = default;

EnvelopeFault EnvelopeReader::read(const std::string& body, Envelope& envelope) {
  envelope.method.clear();
  envelope.id = envelope.params = envelope.result = envelope.error = {};
  state_->params = {};
  state_->is_indexed = false;
  clear_or_release(state_->param_index, kMaxKeptKeys);
  if (!state_->validate(body)) return EnvelopeFault::kParse;
  const std::string_view text = trim_json(body);
  if (text.starts_with('[')) return EnvelopeFault::kBatch;
  if (!text.starts_with('{')) return EnvelopeFault::kInvalid;

  Members members;
  if (!state_->find_members(text, members)) return EnvelopeFault::kParse;
  if (!is_json_rpc(members)) return EnvelopeFault::kInvalid;
  if (members.method.empty()) {
    envelope.kind = Envelope::Kind::kResponse;
  } else {
    envelope.kind = members.id.empty() ? Envelope::Kind::kNotification : Envelope::Kind::kRequest;
    append_decoded(envelope.method, *inside_of_string(members.method));
  }
  envelope.id = members.id;
  envelope.params = state_->params = members.params;
  envelope.result = members.result;
  envelope.error = members.error;
  return EnvelopeFault::kNone;
}

Result<std::optional<std::string_view>> EnvelopeReader::param(std::string_view key) const {
  if (!state_->is_indexed) state_->index_params();
  std::optional<std::string_view> found;
  for (const State::Param& param : state_->param_index) {
    if (!decodes_to(param.key, key)) continue;
    if (found) return Error{Code::kInvalid, 0, "a key stands twice in params"};
    found = param.value;
  }
  return found;
}

std::optional<std::string_view> member(std::string_view raw_object, std::string_view key) {
  for (MemberWalk walk(raw_object); walk.next();) {
    if (decodes_to(walk.key(), key)) return walk.value();
  }
  return std::nullopt;
}

std::optional<std::string> decode_string(std::string_view raw) {
  const auto inside = inside_of_string(raw);
  if (!inside) return std::nullopt;
  std::string text;
  append_decoded(text, *inside);
  return text;
}

std::string encode_string(std::string_view text) {
  // The library says how what is no UTF-8 is replaced, and how a control byte is escaped; it is slow for what is
  // neither.
  const auto encoded = [](std::string_view part) {
    return nlohmann::json(part).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  if (!simdjson::validate_utf8(text.data(), text.size())) return encoded(text);
  // Without a branch for each byte: JSON as a string has a quote every few bytes, where nobody can foretell.
  std::string quoted(2 * text.size() + 2, '"');
  char* out = quoted.data() + 1;
  bool has_control = false;
  for (const char c : text) {
    const Escape& escape = kEscapes[static_cast<unsigned char>(c)];
    std::memcpy(out, escape.bytes.data(), escape.bytes.size());
    out += escape.size;
    has_control = has_control || escape.size == 0;
  }
  if (has_control) return encoded(text);
  *out++ = '"';
  quoted.resize(static_cast<std::size_t>(out - quoted.data()));
  return quoted;
}

namespace {
std::string answer_body(std::string_view raw_id, std::string_view key, std::initializer_list<std::string_view> parts) {
  static constexpr std::string_view kHead = R"({"jsonrpc":"2.0","id":)";
  const std::string_view id = raw_id.empty() ? std::string_view("null") : raw_id;
  std::size_t size = kHead.size() + id.size() + key.size() + 1;
  for (const std::string_view part : parts) size += part.size();
  std::string body;
  body.reserve(size + kBodyPadding);
  body.append(kHead).append(id).append(key);
  for (const std::string_view part : parts) body.append(part);
  body.push_back('}');
  return body;
}
}  // namespace

std::string result_body(std::string_view raw_id, std::string_view raw_result) {
  return answer_body(raw_id, R"(,"result":)", {raw_result});
}

std::string error_body(std::string_view raw_id, int code, std::string_view message, std::string_view raw_data) {
  return answer_body(raw_id, R"(,"error":{"code":)",
                     {std::to_string(code), R"(,"message":)", encode_string(message),
                      raw_data.empty() ? std::string_view() : std::string_view(R"(,"data":)"), raw_data, "}"});
}

namespace detail {

std::string_view next_element(std::string_view& rest) {
  rest = trim_json(rest);
  if (rest.starts_with(',')) rest = trim_json(rest.substr(1));
  const std::size_t end = end_of_value(rest, 0);
  const std::string_view element = rest.substr(0, end);
  rest = end == 0 ? std::string_view() : trim_json(rest.substr(end));
  return element;
}

std::optional<std::string_view> array_inside(std::string_view raw_array) {
  const std::string_view text = trim_json(raw_array);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
  return trim_json(text.substr(1, text.size() - 2));
}

}  // namespace detail

}  // namespace ringside::mcp
