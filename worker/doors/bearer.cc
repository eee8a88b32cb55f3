#include "worker/doors/bearer.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <fstream>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kScheme = "bearer ";

// Digests are of one length, so that comparing them tells nothing of the token's.
std::array<unsigned char, 32> digest_of(std::string_view token) {
  std::array<unsigned char, 32> digest{};
  RS_CHECK(EVP_Digest(token.data(), token.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
           "SHA-256 is there");
  return digest;
}

}  // namespace

Result<std::unique_ptr<Bearer>> Bearer::open(std::string path) {
  std::unique_ptr<Bearer> bearer(new Bearer(std::move(path)));
  auto wanted = bearer->read();
  if (!wanted.ok()) log::error("{} path={}", wanted.error().message, bearer->path_);
  bearer->wanted_ = RS_TRY(std::move(wanted));
  return bearer;
}

Result<Bearer::Digest> Bearer::read() const {
  std::ifstream file(path_, std::ios::binary);
  std::string token;
  if (!std::getline(file, token)) return Error{Code::kInvalid, 0, "the bearer token's file has no token to read"};
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.empty()) return Error{Code::kInvalid, 0, "the bearer token's file begins with an empty line"};
  return digest_of(token);
}

bool Bearer::admits(std::string_view authorization) const {
  if (ascii_lower(authorization.substr(0, kScheme.size())) != kScheme) return false;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  const Digest given = digest_of(authorization);
  const std::lock_guard lock(mutex_);
  return CRYPTO_memcmp(given.data(), wanted_.data(), given.size()) == 0;
}

void Bearer::look_again() {
  auto wanted = read();
  if (!wanted.ok()) return;
  const std::lock_guard lock(mutex_);
  if (std::exchange(wanted_, *wanted) != *wanted) log::info("another bearer token is wanted from now on");
}

}  // namespace ringside::worker
