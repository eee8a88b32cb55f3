#include "rpc/errors.h"

#include <gtest/gtest.h>

namespace ringside::rpc {
namespace {

constexpr Code kCodes[] = {Code::kInvalid,  Code::kNotFound, Code::kDenied,    Code::kTooLarge,
                           Code::kFull,     Code::kTimeout,  Code::kCancelled, Code::kUnavailable,
                           Code::kPeerLied, Code::kUpstream, Code::kSystem};

TEST(Errors, every_code_has_a_grpc_code_that_is_an_error) {
  for (const Code code : kCodes) {
    EXPECT_GT(grpc_code(code), 0);
    EXPECT_LE(grpc_code(code), 16);
  }
}

TEST(Errors, a_code_that_means_something_to_the_caller_comes_back_through_grpc) {
  for (const Code code : {Code::kInvalid, Code::kNotFound, Code::kDenied, Code::kTooLarge, Code::kTimeout,
                          Code::kCancelled, Code::kUnavailable, Code::kSystem}) {
    EXPECT_EQ(code_of_grpc(grpc_code(code)), code);
  }
  EXPECT_EQ(code_of_grpc(16), Code::kDenied);
  EXPECT_EQ(code_of_grpc(2), Code::kSystem);
}

TEST(Errors, full_is_not_told_as_too_large) { EXPECT_NE(grpc_code(Code::kFull), grpc_code(Code::kTooLarge)); }

TEST(Errors, backend_down_says_where_and_whose) {
  for (const auto& [origin, name] : {std::pair<Origin, std::string>{Origin::kModule, "module"},
                                     {Origin::kCore, "core"},
                                     {Origin::kPlugin, "plugin"},
                                     {Origin::kUpstream, "upstream"}}) {
    const auto response = backend_down(R"("7")", "not there", origin);
    EXPECT_EQ(response.status, 502);
    EXPECT_EQ(response.headers.get("content-type"), "application/json");
    EXPECT_EQ(response.body,
              R"({"jsonrpc":"2.0","id":"7","error":{"code":-32000,"message":"not there","data":{"origin":")" + name +
                  R"("}}})");
  }
}

TEST(Errors, plain_ones_are_json_with_their_text_encoded) {
  EXPECT_EQ(detail_error(404, "a \"b\"").body, R"({"detail":"a \"b\""})");
  const auto refused = not_allowed("POST");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("allow"), "POST");
  EXPECT_EQ(jsonrpc_error(400, {}, -32600, "Invalid Request").body,
            R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}})");
}

}  // namespace
}  // namespace ringside::rpc
