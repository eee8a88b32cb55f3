#include "http/transfer.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace ringside::http {
namespace {

constexpr long kBufferBytes = 128L * 1024;

// After these nothing of the request ran; see never_arrived.
constexpr std::string_view kRefused = "connection refused";
constexpr std::string_view kCutShort = "connection closed before the request was sent";
// After this one it may have.
constexpr std::string_view kUnanswered = "connection closed before an answer";

// How a message is framed and on which connection it travels is decided here, never by a caller's header: a second
// content-length is how requests are smuggled.
constexpr std::array<std::string_view, 6> kOwnHeaders = {"connection", "content-length",   "expect", "keep-alive",
                                                         "te",         "transfer-encoding"};

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || host.starts_with("127.");
}

bool has_zero_byte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

constexpr Error kBlocked{Code::kDenied, 0, "the host's address is in a network that is blocked"};

bool is_blocked(const Access& access, const std::optional<IpAddress>& address) {
  return address && std::any_of(access.blocked.begin(), access.blocked.end(),
                                [&](const IpNetwork& network) { return network.contains(*address); });
}

}  // namespace

template <typename T>
void Transfer::set(CURLoption option, T value) {
  // An option that libcurl does not take here was chosen by us, not by the request.
  RS_CHECK(curl_easy_setopt(easy_.get(), option, value) == CURLE_OK, "libcurl takes every option that the client sets");
}

Status Transfer::prepare(EasyHandle easy) {
  easy_ = std::move(easy);
  if (!mcp::is_valid_header(request_.method, "")) return Error{Code::kInvalid, 0, "HTTP method is not a token"};
  RS_TRY_STATUS(set_target());
  RS_TRY_STATUS(set_headers());
  set_method();
  set_callbacks();
  const auto connect_ms = std::chrono::ceil<std::chrono::milliseconds>(request_.connect_timeout).count();
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(connect_ms, 1)));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // giving up on a slow name lookup must not wait for it: one thread serves all
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  return {};
}

Status Transfer::set_target() {
  constexpr Error kBadUrl{Code::kInvalid, 0, "URL is not a valid http:// or https:// URL"};
  const std::unique_ptr<CURLU, UrlDeleter> url(curl_url());
  if (has_zero_byte(request_.url) || curl_url_set(url.get(), CURLUPART_URL, request_.url.c_str(), 0) != CURLUE_OK) {
    return kBadUrl;
  }
  const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return kBadUrl;
  set(CURLOPT_URL, request_.url.c_str());
  if (!request_.unix_socket.empty()) {
    if (has_zero_byte(request_.unix_socket)) return Error{Code::kInvalid, 0, "socket path holds a zero byte"};
    set(CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
  }
  const std::string host = url_part(url.get(), CURLUPART_HOST);
  // An empty proxy beats http_proxy and friends; what stays on this machine must not take a detour.
  if (!request_.unix_socket.empty() || is_loopback(host)) set(CURLOPT_PROXY, "");
  return set_access(host);
}

Status Transfer::set_access(std::string_view host) {
  if (request_.takes_compressed) set(CURLOPT_ACCEPT_ENCODING, "");  // whatever libcurl can undo
  if (!request_.access) return {};
  const Access& access = *request_.access;
  // Behind a proxy it is the proxy that connects.
  if (is_blocked(access, parse_ip(host))) return kBlocked;
  if (!access.proxy.empty()) set(CURLOPT_PROXY, access.proxy.c_str());
  if (!access.ca_file.empty()) {
    set(CURLOPT_CAINFO, access.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (access.client_cert.empty()) return {};
  set(CURLOPT_SSLCERT, access.client_cert.c_str());
  set(CURLOPT_SSLKEY, access.client_key.empty() ? access.client_cert.c_str() : access.client_key.c_str());
  return {};
}

Status Transfer::set_headers() {
  const auto append = [this](const std::string& line) {
    curl_slist* list = curl_slist_append(header_list_.get(), line.c_str());
    RS_CHECK(list != nullptr, "memory for a header");
    (void)header_list_.release();
    header_list_.reset(list);
  };
  for (const auto& [name, value] : request_.headers) {
    if (!mcp::is_valid_header(name, value)) return Error{Code::kInvalid, 0, "header that HTTP forbids"};
    if (std::find(kOwnHeaders.begin(), kOwnHeaders.end(), name) != kOwnHeaders.end()) continue;
    std::string line = name;
    if (trim(value).empty()) {
      line += ';';
    } else {
      line.append(": ").append(value);
    }
    append(line);
  }
  // A name without a value takes back what curl would add by itself.
  append("Expect:");
  if (request_.headers.find("accept") == nullptr) append("Accept:");
  if (request_.headers.find("content-type") == nullptr) append("Content-Type:");
  set(CURLOPT_HTTPHEADER, header_list_.get());
  return {};
}

void Transfer::set_method() {
  const bool has_body = !request_.body.empty() || request_.method == "POST" || request_.method == "PUT";
  if (has_body) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    if (goes_with_head()) {
      set(CURLOPT_POSTFIELDS, request_.body.data());
    } else {
      set(CURLOPT_READFUNCTION, &Transfer::body_callback);
      set(CURLOPT_READDATA, static_cast<void*>(this));
      set(CURLOPT_SEEKFUNCTION, &Transfer::body_seek_callback);
      set(CURLOPT_SEEKDATA, static_cast<void*>(this));
    }
  } else if (request_.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else {
    set(CURLOPT_HTTPGET, 1L);
  }
  set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

void Transfer::set_callbacks() {
  set(CURLOPT_HEADERFUNCTION, &Transfer::header_callback);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Transfer::data_callback);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_PREREQFUNCTION, &Transfer::prerequest_callback);
  set(CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::open_socket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
}

std::size_t Transfer::header_callback(char* bytes, std::size_t size, std::size_t count, void* self) {
  return static_cast<Transfer*>(self)->take_header({bytes, size * count});
}

std::size_t Transfer::data_callback(char* bytes, std::size_t size, std::size_t count, void* self) {
  return static_cast<Transfer*>(self)->take_data({bytes, size * count});
}

std::size_t Transfer::body_callback(char* into, std::size_t size, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::size_t bytes = transfer->request_.body.copy(into, size * count, transfer->body_at_);
  transfer->body_at_ += bytes;
  transfer->body_read_ = std::max(transfer->body_read_, transfer->body_at_);
  return bytes;
}

int Transfer::body_seek_callback(void* self, curl_off_t offset, int origin) {
  auto* transfer = static_cast<Transfer*>(self);
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  transfer->body_at_ = std::min(static_cast<std::size_t>(offset), transfer->request_.body.size());
  return CURL_SEEKFUNC_OK;
}

// curl's own socket() leaves the descriptor open in children that somebody else in the process spawns. And here is the
// one place that sees the address to which a name has led.
curl_socket_t Transfer::open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(self);
  if (const auto& access = transfer->request_.access; access && is_blocked(*access, ip_of(address->addr))) {
    transfer->blocked_ = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// curl sends a request again by itself when a kept connection closes before the answer's first byte. The server may
// have run it all the same, so only what is safe to repeat may go twice.
int Transfer::prerequest_callback(void* self, char*, char*, int, int) {
  auto* transfer = static_cast<Transfer*>(self);
  const bool again = transfer->times_sent_++ > 0;
  transfer->arrived_ = again && (transfer->arrived_ || transfer->sent_whole());
  if (!transfer->arrived_ || transfer->request_.repeatable) {
    curl_easy_getinfo(transfer->easy_.get(), CURLINFO_REQUEST_SIZE, &transfer->sent_before_);
    transfer->body_at_ = transfer->body_read_ = 0;
    return CURL_PREREQFUNC_OK;
  }
  transfer->give_up({Code::kUnavailable, 0, kUnanswered});
  return CURL_PREREQFUNC_ABORT;
}

// By what curl has read of a large body: what it has not read, it has not sent.
bool Transfer::sent_whole() const {
  long sent = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &sent);
  return sent > sent_before_ && (goes_with_head() || body_read_ == request_.body.size());
}

std::size_t Transfer::give_up(Error reason) {
  if (gave_up_.ok()) gave_up_ = reason;
  return 0;
}

std::size_t Transfer::take_header(std::string_view line) {
  if (has_head_) return line.size();  // trailers, which nobody asked for
  header_bytes_ += line.size();
  if (header_bytes_ > max_header_bytes_) return give_up({Code::kUpstream, 0, "headers of the answer are too large"});
  if (line.starts_with("HTTP/")) {
    begin_block(line);
  } else if (trim(line).empty()) {
    end_block();
  } else {
    add_field(line);
  }
  return line.size();
}

void Transfer::begin_block(std::string_view status_line) {
  headers_ = {};
  status_ = 0;
  const auto space = status_line.find(' ');
  if (space == std::string_view::npos) return;
  const std::string_view digits = trim(status_line.substr(space));
  (void)std::from_chars(digits.data(), digits.data() + digits.size(), status_);
}

void Transfer::add_field(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return;
  std::string name = ascii_lower(line.substr(0, colon));
  std::string value(trim(line.substr(colon + 1)));
  // A field that HTTP forbids must not reach whoever hands these headers on.
  if (!mcp::is_valid_header(name, value)) return;
  const std::string* earlier = headers_.find(name);
  if (earlier != nullptr && name != "set-cookie") value = *earlier + ", " + value;
  headers_.set(name, std::move(value));
}

void Transfer::end_block() {
  if (status_ < 200) return;  // 1xx: the answer is still to come
  has_head_ = true;
  exchange_->on_head(status_, headers_);
}

std::size_t Transfer::take_data(std::string_view bytes) {
  if (!has_head_) return give_up({Code::kUpstream, 0, "the answer has no head"});
  if (waits_) {
    paused_ = true;
    return CURL_WRITEFUNC_PAUSE;  // curl keeps these bytes, and reads no more of them from the socket
  }
  const Flow flow = exchange_->on_data(bytes);
  if (flow == Flow::kStop) return give_up({Code::kCancelled, 0, "the caller gave up"});
  waits_ = flow == Flow::kWait;
  return bytes.size();
}

CURLcode Transfer::resume() {
  waits_ = false;
  return std::exchange(paused_, false) ? curl_easy_pause(easy_.get(), CURLPAUSE_CONT) : CURLE_OK;
}

Status Transfer::outcome(CURLcode code) const {
  RS_TRY_STATUS(gave_up_);
  if (code == CURLE_OK && has_head_) return {};
  long os_error = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os_error);
  const auto error = [os_error](Code kind, std::string_view message) {
    return Error{kind, static_cast<int>(os_error), message};
  };
  if (has_head_) return error(Code::kUpstream, "the answer was cut off");
  if (blocked_ && code == CURLE_COULDNT_CONNECT) return kBlocked;
  const bool may_have_arrived = arrived_ || sent_whole();
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return error(Code::kUnavailable, "name could not be resolved");
    case CURLE_COULDNT_CONNECT:
      // Perhaps when curl tried again by itself, and whoever had the request the first time is dead.
      return error(Code::kUnavailable, may_have_arrived ? kUnanswered : kRefused);
    case CURLE_OPERATION_TIMEDOUT:
      return error(Code::kUnavailable, "connecting took too long");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
      return error(Code::kUnavailable, "certificate is not trusted, or ours cannot be used");
    case CURLE_SSL_CONNECT_ERROR:
      return error(Code::kUnavailable, "TLS handshake failed");
    case CURLE_UNSUPPORTED_PROTOCOL:  // also what curl says to an answer without a status line
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_OUT_OF_MEMORY:  // what curl says to a line longer than it ever takes
    case CURLE_BAD_CONTENT_ENCODING:
      return error(Code::kUpstream, "the answer is not HTTP");
    default:
      return error(Code::kUnavailable, may_have_arrived ? kUnanswered : kCutShort);
  }
}

bool never_arrived(const Error& error) {
  return error.code == Code::kUnavailable && (error.message == kRefused || error.message == kCutShort);
}

}  // namespace ringside::http
