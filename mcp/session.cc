#include "mcp/session.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "mcp/json_grammar.h"
#include "mcp/json_scan.h"
#include "mcp/typed_auth.h"

namespace ringside::mcp {
namespace {

/// An auth context is a user's identity, not a document.
constexpr std::size_t kMaxContextBytes = 64ULL << 10U;
constexpr std::size_t kMaxSessionId = 256;

constexpr Error kUndecodable{Code::kInvalid, 0, "the auth context cannot be decoded"};
constexpr Error kContextExpired{Code::kTimeout, 0, "Auth context expired"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  RS_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1,
           "SHA-256 of bytes in memory cannot fail");
  std::string hex;
  hex.reserve(std::size_t{size} * 2);
  for (unsigned int i = 0; i < size; ++i) append_hex(hex, digest[i]);
  return hex;
}

/// The six bits that a character of base64url (RFC 4648, section 5) stands for, or -1.
int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (is_digit(c)) return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

std::optional<std::string> decode_base64url(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = sextet(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<char>((bits >> static_cast<unsigned>(held)) & 0xFFU));
    }
  }
  return bytes;
}

/// The text of a member that is a string; empty otherwise; an error when it stands there twice.
Result<std::string> text_member(std::string_view raw_object, std::string_view key) {
  const auto raw = RS_TRY(sole_member(raw_object, key));
  std::string text;
  if (raw) {
    if (const auto inside = inside_of_string(*raw)) append_decoded(text, *inside);
  }
  return text;
}

Result<std::string> owner_of(std::string_view context) {
  std::string email = RS_TRY(text_member(context, "email"));
  std::string sub = RS_TRY(text_member(context, "sub"));
  return email.empty() ? sub : email;
}

/// A '%' that no two hex digits follow stays as it is.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') {
      return percent_decoded(pair.substr(name.size() + 1));
    }
  }
  return {};
}

bool is_past(std::int64_t expires_ms, std::int64_t now_ms) { return expires_ms != 0 && expires_ms <= now_ms; }

}  // namespace

bool is_supported_version(std::string_view version) {
  return std::find(std::begin(kProtocolVersions), std::end(kProtocolVersions), version) != std::end(kProtocolVersions);
}

bool is_well_formed_version(std::string_view version) {
  static constexpr std::string_view kForm = "dddd-dd-dd";
  return version.size() == kForm.size() &&
         std::equal(version.begin(), version.end(), kForm.begin(),
                    [](char c, char form) { return form == 'd' ? is_digit(c) : c == form; });
}

std::string supported_versions() {
  std::string list;
  for (const std::string_view version : kProtocolVersions) {
    if (!list.empty()) list += ", ";
    list += version;
  }
  return list;
}

std::string fingerprint(const Headers& headers) {
  std::string text;
  for (const std::string_view name : {"authorization", "cookie"}) {
    const std::string_view value = headers.get(name);
    if (value.empty()) continue;
    text.append(name).append("=").append(std::to_string(value.size())).append(":").append(value).append("\n");
  }
  return text.empty() ? std::string() : sha256_hex(text);
}

Result<Caller> caller_of(const Request& request, std::int64_t now_ms) {
  Caller caller;
  caller.fingerprint = fingerprint(request.headers);
  caller.expires_ms = static_cast<std::int64_t>(
      std::min<std::uint64_t>(request.auth_expires_ms, std::numeric_limits<std::int64_t>::max()));
  caller.has_context = !request.auth_encoded.empty();
  std::string text;
  if (caller.has_context) {
    if (request.auth_encoded.size() > kMaxContextBytes) return kUndecodable;
    auto context = decode_base64url(request.auth_encoded);
    if (!context || !is_json_text(*context) || !trim_json(*context).starts_with('{')) return kUndecodable;
    auto owner = owner_of(*context);
    if (!owner) return kUndecodable;
    caller.owner = std::move(owner).value();
    text = std::move(*context);
  }
  RS_TRY_STATUS(apply_typed_auth(request, text, now_ms, caller));
  if (is_past(caller.expires_ms, now_ms)) return kContextExpired;
  return caller;
}

Admission admit(const SessionRecord& session, std::string_view server_id, const Caller& caller, std::int64_t now_ms) {
  if (session.server_id != server_id) return Admission::kDenied;
  if (caller.has_context && !session.owner.empty()) {
    return caller.owner == session.owner ? Admission::kAdmitted : Admission::kDenied;
  }
  if (session.fingerprint != caller.fingerprint) return Admission::kDenied;
  // No credentials at all prove nothing: an owner's session is not for whoever learns its id.
  if (!session.owner.empty() && caller.fingerprint.empty()) return Admission::kDenied;
  if (!caller.has_context && is_past(session.auth_expires_ms, now_ms)) return Admission::kExpired;
  return Admission::kAdmitted;
}

std::string find_session_id(const Request& request) {
  if (!request.session_id.empty()) return request.session_id;
  if (const std::string_view header = request.headers.get("mcp-session-id"); !header.empty())
    return std::string(header);
  return query_parameter(request.query, "session_id");
}

bool is_valid_session_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxSessionId &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace ringside::mcp
