#include "mcp/typed_auth.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "mcp/envelope.h"
#include "mcp/json_scan.h"

namespace ringside::mcp {
namespace {

constexpr Error kContradiction{Code::kInvalid, 0, "Auth context contradicts its fields"};
constexpr Error kTooEarly{Code::kTimeout, 0, "Auth context not valid yet"};
constexpr Error kTooLate{Code::kTimeout, 0, "Auth context expired"};
constexpr Error kWrongPlace{Code::kDenied, 0, "Auth context not valid from this address"};

struct Address {
  std::array<unsigned char, 16> bytes{};  // IPv4 as ::ffff:a.b.c.d
  bool is_v4 = false;
};

std::optional<Address> address_of(std::string_view text) {
  constexpr std::size_t kV4At = 12;
  const std::string terminated(text);
  Address address;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + kV4At) == 1) {
    address.bytes[10] = address.bytes[11] = 0xff;
    address.is_v4 = true;
    return address;
  }
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) != 1) return std::nullopt;
  constexpr std::array<unsigned char, kV4At> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  address.is_v4 = std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
  return address;
}

/// The strings of an array; nothing when the member is absent or is anything else.
Result<std::optional<std::vector<std::string>>> strings_of(std::string_view context, std::string_view key) {
  const auto raw = RS_TRY(sole_member(context, key));
  std::optional<std::vector<std::string>> strings;
  if (!raw) return strings;
  strings.emplace();
  bool all = true;
  const bool is_array = for_each_element(*raw, [&](std::string_view element) {
    auto text = decode_string(element);
    all = all && text.has_value();
    if (text) strings->push_back(std::move(*text));
  });
  if (!is_array || !all) strings.reset();
  return strings;
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  for (auto* list : {&a, &b}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return a == b;
}

/// Whether the subject is whom the text names: by email or by sub.
Result<bool> same_subject(std::string_view context, const std::string& subject) {
  bool named = false;
  for (const std::string_view key : {"email", "sub"}) {
    const auto raw = RS_TRY(sole_member(context, key));
    const auto text = raw ? decode_string(*raw) : std::nullopt;
    if (!text || text->empty()) continue;
    if (*text == subject) return true;
    named = true;
  }
  return !named;
}

Status agree(const TypedAuth& auth, std::string_view context) {
  const auto subject = same_subject(context, auth.subject);
  if (!auth.subject.empty() && (!subject || !*subject)) return kContradiction;
  const std::pair<std::string_view, const std::vector<std::string>&> lists[] = {
      {"teams", auth.teams}, {"permissions", auth.permissions}, {"scopes", auth.scopes}};
  for (const auto& [key, typed] : lists) {
    if (typed.empty()) continue;
    const auto said = strings_of(context, key);
    if (!said || (*said && !same_set(**said, typed))) return kContradiction;
  }
  if (!auth.is_admin) return {};
  const auto raw = sole_member(context, "is_admin");
  if (!raw) return kContradiction;
  const bool is_boolean = *raw && (**raw == "true" || **raw == "false");
  return is_boolean && (**raw == "true") != *auth.is_admin ? Status(kContradiction) : Status();
}

std::int64_t to_ms(std::uint64_t ms) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(ms, std::numeric_limits<std::int64_t>::max()));
}

}  // namespace

bool is_in_network(std::string_view address, std::string_view network) {
  const std::size_t slash = network.find('/');
  const auto one = address_of(address);
  const auto other = address_of(network.substr(0, slash));
  if (!one || !other || one->is_v4 != other->is_v4) return false;
  const unsigned before = one->is_v4 && network.find(':') == std::string_view::npos ? 96 : 0;
  unsigned bits = 128 - before;
  if (slash != std::string_view::npos) {
    const std::string_view text = network.substr(slash + 1);
    unsigned stated = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), stated);
    if (error != std::errc() || end != text.data() + text.size() || stated > bits) return false;
    bits = stated;
  }
  bits += before;
  for (unsigned at = 0; at < bits; ++at) {
    const unsigned mask = 0x80U >> (at % 8);
    if (((one->bytes[at / 8] ^ other->bytes[at / 8]) & mask) != 0) return false;
  }
  return true;
}

std::string_view client_address(const Request& request) {
  std::string_view text = request.headers.get("x-real-ip");
  if (text.empty()) text = request.headers.get("x-forwarded-for");
  text = text.substr(0, text.find(','));
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text.empty() ? std::string_view(request.peer_ip) : text;
}

Status apply_typed_auth(const Request& request, std::string_view context, std::int64_t now_ms, Caller& caller) {
  if (!request.auth) return {};
  const TypedAuth& auth = *request.auth;
  if (!context.empty()) RS_TRY_STATUS(agree(auth, context));
  if (caller.owner.empty()) caller.owner = auth.subject;
  caller.has_context = caller.has_context || !auth.subject.empty();
  caller.permissions = auth.permissions;
  caller.is_admin = auth.is_admin.value_or(false);
  if (auth.not_before_ms != 0 && now_ms < to_ms(auth.not_before_ms)) return kTooEarly;
  if (auth.not_after_ms != 0) {
    const std::int64_t until = to_ms(auth.not_after_ms);
    if (until <= now_ms) return kTooLate;
    caller.expires_ms = caller.expires_ms == 0 ? until : std::min(caller.expires_ms, until);
  }
  if (auth.allowed_ips.empty()) return {};
  const std::string_view client = client_address(request);
  const bool allowed = std::any_of(auth.allowed_ips.begin(), auth.allowed_ips.end(),
                                   [&](const std::string& network) { return is_in_network(client, network); });
  return allowed ? Status() : Status(kWrongPlace);
}

}  // namespace ringside::mcp
