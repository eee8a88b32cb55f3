#include "http/response_head.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/status.hpp>
#include <charconv>

namespace ringside::http {
namespace {

constexpr std::array<std::string_view, 4> kOwnHeaders = {"connection", "content-length", "keep-alive",
                                                         "transfer-encoding"};

std::string_view reason(int status) {
  const auto text =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

}  // namespace

bool may_have_body(int status) { return status != 204 && status != 304; }

std::string response_head(int status, const mcp::Headers& headers, std::optional<std::size_t> length,
                          RequestReader::Form form, bool close) {
  std::string out;
  out.reserve(256);
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason(status)).append("\r\n");
  for (const auto& [name, value] : headers) {
    if (std::find(kOwnHeaders.begin(), kOwnHeaders.end(), name) != kOwnHeaders.end()) continue;
    if (!mcp::is_valid_header(name, value)) continue;
    out.append(name).append(": ").append(value).append("\r\n");
  }
  if (length && may_have_body(status)) {
    out.append("content-length: ").append(std::to_string(*length)).append("\r\n");
  } else if (!length && !form.http_1_0) {
    out.append("transfer-encoding: chunked\r\n");
  }
  if (close) {
    out.append("connection: close\r\n");
  } else if (form.http_1_0) {
    out.append("connection: keep-alive\r\n");
  }
  return out.append("\r\n");
}

mcp::Response plain_error(int status, std::string_view message) {
  mcp::Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  response.body.append(R"({"error":")").append(reason(status)).append(R"(","message":")").append(message).append("\"}");
  return response;
}

std::string chunk_head(std::size_t bytes) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes, 16).ptr;
  return std::string(digits.data(), end).append("\r\n");
}

}  // namespace ringside::http
