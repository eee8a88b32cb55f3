#pragma once
// The JSON-RPC envelope. A body is validated whole, once (simdjson's DOM parser with a reused tape; json_grammar.h
// where simdjson says no, which it also does to numbers beyond its range, and for bodies whose tape would be too large
// to keep); after that its parts are views of the very bytes that came, and are forwarded so.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ringside::mcp {

/// The deepest nesting a body may have; one level more is a parse error.
inline constexpr std::size_t kMaxDepth = 1024;

/// A validated JSON-RPC message. Every view points into the body that was read.
struct Envelope {
  enum class Kind { kRequest, kNotification, kResponse };
  Kind kind = Kind::kRequest;
  std::string method;       ///< decoded; empty for a response
  std::string_view id;      ///< raw: `1`, `"1"`; empty for a notification
  std::string_view params;  ///< raw; empty when absent
  std::string_view result;  ///< raw; empty when absent
  std::string_view error;   ///< raw; empty when absent
};

enum class EnvelopeFault {
  kNone,
  kParse,  ///< not one whole valid JSON text in UTF-8, too deep, or an envelope key twice: 400, -32700
  kBatch,  ///< a JSON array: 400, -32600 "Batch requests are not supported"
  /// No JSON-RPC 2.0 message: 400, -32600 "Invalid Request". An id is a string or a number, params are an object or an
  /// array; a method stands without result and error, an answer has an id and exactly one of the two.
  kInvalid,
};

/// Reads one message after the other, reusing its memory (it keeps at most 60 MiB between two). One thread at a time.
class EnvelopeReader {
 public:
  EnvelopeReader();
  ~EnvelopeReader();
  EnvelopeReader(const EnvelopeReader&) = delete;
  EnvelopeReader& operator=(const EnvelopeReader&) = delete;

  /// Validates `body` and fills `envelope`. `body` must stay as it is while the envelope or the reader's params are
  /// used. Best with kBodyPadding of capacity behind it; without, it is copied inside.
  [[nodiscard]] EnvelopeFault read(const std::string& body, Envelope& envelope);

  /// The raw bytes of `key` in the params of the message read last; nothing when params is no object or has no such
  /// key. kInvalid when the key stands there twice: nobody shall route by one and run the other.
  [[nodiscard]] Result<std::optional<std::string_view>> param(std::string_view key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The members of a JSON object whose bytes are known to be valid, found without reading more than needed.
/// `member(raw, "tools")` is the raw value, or nothing (also when `raw` is no object). The first of equal keys is
/// taken.
[[nodiscard]] std::optional<std::string_view> member(std::string_view raw_object, std::string_view key);
/// Calls `each(raw_element)` for every element of a valid JSON array; false when `raw` is no array.
template <typename F>
bool for_each_element(std::string_view raw_array, F&& each);
/// The decoded text of a valid JSON string's raw bytes; nothing when it is not a string. An escaped half of a surrogate
/// pair, which JSON allows and UTF-8 does not, becomes U+FFFD.
[[nodiscard]] std::optional<std::string> decode_string(std::string_view raw);
/// `text` as a JSON string with quotes. Invalid UTF-8 in it becomes U+FFFD.
[[nodiscard]] std::string encode_string(std::string_view text);

/// `{"jsonrpc":"2.0","id":ID,"result":RESULT}` from raw bytes.
[[nodiscard]] std::string result_body(std::string_view raw_id, std::string_view raw_result);
/// `{"jsonrpc":"2.0","id":ID,"error":{"code":CODE,"message":MESSAGE[,"data":DATA]}}`; an empty raw_id becomes null.
[[nodiscard]] std::string error_body(std::string_view raw_id, int code, std::string_view message,
                                     std::string_view raw_data = {});

namespace detail {
/// The next element of a valid array's inside; empties `rest` at the end.
[[nodiscard]] std::string_view next_element(std::string_view& rest);
[[nodiscard]] std::optional<std::string_view> array_inside(std::string_view raw_array);
}  // namespace detail

template <typename F>
bool for_each_element(std::string_view raw_array, F&& each) {
  auto inside = detail::array_inside(raw_array);
  if (!inside) return false;
  for (auto rest = *inside; !rest.empty();) {
    if (const auto element = detail::next_element(rest); !element.empty()) each(element);
  }
  return true;
}

/// Codes of JSON-RPC errors that this runtime answers with (docs/protocol.md has the table).
inline constexpr int kParseErrorCode = -32700;
inline constexpr int kInvalidRequestCode = -32600;
inline constexpr int kMethodNotFoundCode = -32601;
inline constexpr int kInvalidParamsCode = -32602;
inline constexpr int kBackendDownCode = -32000;
inline constexpr int kAccessDeniedCode = -32003;
inline constexpr int kOutcomeUnknownCode = -32010;

}  // namespace ringside::mcp
