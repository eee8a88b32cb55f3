#include "http/request_reader.h"

#include <algorithm>
#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/text.h"
#include "http/body_reader.h"

namespace ringside::http {
namespace {

namespace beast = boost::beast;
using boost::system::error_code;

constexpr std::size_t kHeaderRead = 16ULL * 1024;
constexpr std::size_t kChunkRead = 64ULL * 1024;
constexpr std::size_t kMaxFields = 256;

// A name here may stand once only: with two, we and whoever is behind us could each believe another one.
constexpr std::array<std::string_view, 4> kSingleFields = {"host", "content-length", "mcp-session-id", "authorization"};
// About this connection only (RFC 9110, 7.6.1); what is behind the server has a connection of its own.
constexpr std::array<std::string_view, 8> kHopFields = {
    "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"};

template <typename List>
bool contains(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

using Parser = beast::http::request_parser<beast::http::empty_body>;

}  // namespace

struct RequestReader::State {
  explicit State(Limits given) : limits(given) { restart(); }

  void restart();
  Step advance();
  /// Looks for the end of the headers in the bytes that are new.
  Step scan_header();
  Step read_header();
  Step read_body();
  Step check_fields();
  Step check_target();
  Step start_body();
  Step refuse(int status, std::string_view message);
  Step refuse(const error_code& ec);

  Limits limits;
  beast::flat_buffer buffer;
  std::optional<Parser> parser;
  std::optional<BodyReader> body;
  mcp::Request request;
  Form form;
  Refusal refusal;
  std::size_t scanned = 0;      // bytes of the buffer that scan_header has seen
  std::size_t line_start = 0;   // where the line begins that it is in
  std::size_t header_size = 0;  // 0: the end of the headers has not come
  std::optional<std::string> encoding;
  bool header_done = false;
  bool wants_continue = false;
  bool refused = false;
};

void RequestReader::State::restart() {
  parser.emplace();
  parser->skip(true);  // the body is BodyReader's
  // Found here before the parser sees it, so the parser's own limit must not come first.
  parser->header_limit(static_cast<std::uint32_t>(limits.max_header_bytes) + 1);
  body.emplace(limits.max_body_bytes, limits.max_header_bytes);
  request = {};
  form = {};
  scanned = line_start = header_size = 0;
  encoding.reset();
  header_done = wants_continue = false;
}

RequestReader::Step RequestReader::State::refuse(int status, std::string_view message) {
  refused = true;
  form.keep_alive = false;
  refusal = {status, message};
  return Step::kRefused;
}

RequestReader::Step RequestReader::State::refuse(const error_code& ec) {
  using beast::http::error;
  if (ec == error::bad_method || ec == error::bad_target) return refuse(400, "Malformed request line");
  if (ec == error::bad_version) return refuse(400, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
  if (ec == error::bad_content_length) return refuse(400, "Malformed or conflicting Content-Length");
  if (ec == error::bad_transfer_encoding) return refuse(400, "Malformed or conflicting Transfer-Encoding");
  return refuse(400, "Malformed header");
}

RequestReader::Step RequestReader::State::advance() {
  if (refused) return Step::kRefused;
  if (!header_done) {
    if (header_size == 0) {
      if (const Step step = scan_header(); step != Step::kDone) return step;
    }
    if (const Step step = read_header(); step != Step::kDone) return step;
  }
  return read_body();
}

// The parser joins folded lines silently and takes a request only once its headers are whole. Scanning first refuses
// what is no HTTP at its first bytes, and the tricks with line ends (RFC 9112, 2.2 and 5.2) before anybody interprets
// them.
RequestReader::Step RequestReader::State::scan_header() {
  const auto* bytes = static_cast<const char*>(buffer.data().data());
  std::size_t size = buffer.size();
  while (header_size == 0) {
    if (line_start == 0 && size > 0 && bytes[0] != '\r' && !mcp::is_valid_header({bytes, 1}, "")) {
      return refuse(400, "Malformed request line");
    }
    const auto* end =
        size == scanned ? nullptr : static_cast<const char*>(std::memchr(bytes + scanned, '\n', size - scanned));
    if (end == nullptr) {
      scanned = size;
      if (size >= limits.max_header_bytes) return refuse(431, "The headers are over the limit");
      return Step::kNeedMore;
    }
    const auto at = static_cast<std::size_t>(end - bytes);
    if (at == 0 || bytes[at - 1] != '\r') return refuse(400, "A line must end with CR LF");
    const bool empty_line = at == line_start + 1;
    if (!empty_line && line_start != 0 && (bytes[line_start] == ' ' || bytes[line_start] == '\t')) {
      return refuse(400, "Folded header lines are not allowed");
    }
    if (empty_line && line_start == 0) {
      // An empty line before a request is skipped (RFC 9112, 2.2).
      buffer.consume(2);
      bytes = static_cast<const char*>(buffer.data().data());
      size = buffer.size();
      scanned = 0;
      continue;
    }
    if (empty_line) header_size = at + 1;
    scanned = line_start = at + 1;
  }
  if (header_size > limits.max_header_bytes) return refuse(431, "The headers are over the limit");
  return Step::kDone;
}

RequestReader::Step RequestReader::State::read_header() {
  error_code ec;
  const std::size_t used = parser->put(boost::asio::const_buffer(buffer.data().data(), header_size), ec);
  if (ec && ec != beast::http::error::need_more) return refuse(ec);
  if (!parser->is_header_done()) return refuse(400, "Malformed header");
  buffer.consume(used);
  header_done = true;
  form.http_1_0 = parser->get().version() == 10;
  form.keep_alive = parser->keep_alive();
  form.head = parser->get().method() == beast::http::verb::head;
  if (const Step step = check_target(); step != Step::kDone) return step;
  if (const Step step = check_fields(); step != Step::kDone) return step;
  return start_body();
}

RequestReader::Step RequestReader::State::check_target() {
  const auto& head = parser->get();
  request.method = view(head.method_string());
  std::string_view target = view(head.target());
  if (const auto scheme = target.find("://"); !target.starts_with('/') && scheme != std::string_view::npos) {
    const auto path = target.find_first_of("/?", scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  if (!request.path.starts_with('/') && target != "*") return refuse(400, "Malformed request target");
  return Step::kDone;
}

RequestReader::Step RequestReader::State::check_fields() {
  std::size_t count = 0;
  for (const auto& field : parser->get()) {
    if (++count > kMaxFields) return refuse(431, "Too many headers");
    const std::string name = ascii_lower(view(field.name_string()));
    std::string value(view(field.value()));
    if (!mcp::is_valid_header(name, value)) return refuse(400, "Malformed header");
    if (name == "expect") {
      if (!beast::iequals(value, "100-continue")) return refuse(417, "Only 100-continue can be expected");
      wants_continue = !form.http_1_0;
    }
    if (name == "transfer-encoding") encoding = value;
    if (contains(kHopFields, name)) continue;
    if (const std::string* earlier = request.headers.find(name)) {
      if (contains(kSingleFields, name)) return refuse(400, "A header stands twice that may stand once");
      value.insert(0, std::string(*earlier).append(name == "cookie" ? "; " : ", "));
    }
    request.headers.set(name, std::move(value));
  }
  if (!form.http_1_0 && request.headers.find("host") == nullptr) return refuse(400, "Host is missing");
  return Step::kDone;
}

// Beast has refused the two ways of framing side by side and numbers that contradict each other; what is left is
// stricter than it: no list of lengths, no coding that we would have to undo (RFC 9112, 6.1 and 6.3).
RequestReader::Step RequestReader::State::start_body() {
  if (encoding) {
    if (form.http_1_0 || !beast::iequals(*encoding, "chunked")) return refuse(400, "Transfer-Encoding must be chunked");
    body->start_chunks();
  } else if (const std::string* text = request.headers.find("content-length")) {
    std::uint64_t length = 0;
    const char* end = text->data() + text->size();
    const auto [rest, fault] = std::from_chars(text->data(), end, length);
    if (rest != end || fault != std::errc()) return refuse(400, "Malformed or conflicting Content-Length");
    body->start_length(length);
  }
  return Step::kDone;
}

RequestReader::Step RequestReader::State::read_body() {
  buffer.consume(body->feed({static_cast<const char*>(buffer.data().data()), buffer.size()}));
  switch (body->state()) {
    case BodyReader::State::kDone:
      return Step::kDone;
    case BodyReader::State::kTooLarge:
      return refuse(413, "The body is over the limit");
    case BodyReader::State::kMalformed:
      return refuse(400, "Malformed chunk");
    case BodyReader::State::kMore:
      break;
  }
  // Who sends its body anyway is not told to go on.
  return std::exchange(wants_continue, false) && body->empty() ? Step::kContinue : Step::kNeedMore;
}

RequestReader::RequestReader(Limits limits) : state_(std::make_unique<State>(limits)) {}
RequestReader::~RequestReader() = default;

std::span<char> RequestReader::space() {
  if (const auto direct = state_->body->space(); !direct.empty()) return direct;
  const auto buffer = state_->buffer.prepare(state_->header_done ? kChunkRead : kHeaderRead);
  return {static_cast<char*>(buffer.data()), buffer.size()};
}

void RequestReader::commit(std::size_t bytes) {
  if (state_->body->space().empty()) {
    state_->buffer.commit(bytes);
  } else {
    state_->body->commit(bytes);
  }
}

void RequestReader::append(std::string_view bytes) {
  const auto room = state_->buffer.prepare(bytes.size());
  std::copy(bytes.begin(), bytes.end(), static_cast<char*>(room.data()));
  state_->buffer.commit(bytes.size());
}

RequestReader::Step RequestReader::advance() { return state_->advance(); }
bool RequestReader::started() const { return state_->buffer.size() > 0 || state_->header_done; }
std::size_t RequestReader::buffered() const { return state_->buffer.size(); }
const RequestReader::Refusal& RequestReader::refusal() const { return state_->refusal; }
RequestReader::Form RequestReader::form() const { return state_->form; }

mcp::Request RequestReader::take() {
  mcp::Request request = std::move(state_->request);
  request.body = state_->body->take();
  state_->restart();
  if (state_->buffer.size() == 0 && state_->buffer.capacity() > kHeaderRead) state_->buffer.shrink_to_fit();
  return request;
}

}  // namespace ringside::http
