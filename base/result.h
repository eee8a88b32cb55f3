#pragma once
// Errors as values: Result<T> holds a T or an Error; Status holds nothing or an Error.
// An Error's message is a literal that is safe to show to a client: it names no path, pointer or internal name.
// What an operator needs besides (a path, an errno's text) goes to the log where the error is made.

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace ringside {

/// What went wrong, in the terms that rpc/errors.h maps to gRPC, HTTP and JSON-RPC.
enum class Code : std::uint8_t {
  kInvalid,      ///< the caller's input is wrong; sending it again is no use
  kNotFound,     ///< the thing named does not exist
  kDenied,       ///< the peer or the caller may not do this
  kTooLarge,     ///< over a configured limit
  kFull,         ///< no room now; wait, or go another way
  kTimeout,      ///< the deadline passed
  kCancelled,    ///< the caller gave up
  kUnavailable,  ///< nobody answers; trying again may help
  kPeerLied,     ///< what the other side of a ring or a link wrote breaks the protocol
  kUpstream,     ///< an upstream answered with something that is no answer
  kSystem,       ///< a system call failed; os_error says how
};

struct Error {
  Code code = Code::kSystem;
  int os_error = 0;          ///< errno, or 0
  std::string_view message;  ///< a literal, safe for clients
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, error) {}         // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  /// The value; a bug, and so the end of the process, if there is none.
  T& value() & {
    RS_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    RS_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    RS_CHECK(ok(), "value() of a failed Result");
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] const Error& error() const {
    RS_CHECK(!ok(), "error() of a good Result");
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

/// A Result without a value.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(error) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const {
    RS_CHECK(!ok(), "error() of a good Status");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace ringside

/// `auto x = RS_TRY(f());` is the value of f(), or leaves the function with its error.
#define RS_TRY(expression)                             \
  ({                                                   \
    auto rs_try_result = (expression);                 \
    if (!rs_try_result.ok()) {                         \
      return ::ringside::Error(rs_try_result.error()); \
    }                                                  \
    std::move(rs_try_result).value();                  \
  })

/// Leaves the function with the error of a Status, if it has one.
#define RS_TRY_STATUS(expression)                      \
  do {                                                 \
    ::ringside::Status rs_try_status = (expression);   \
    if (!rs_try_status.ok()) {                         \
      return ::ringside::Error(rs_try_status.error()); \
    }                                                  \
  } while (false)
