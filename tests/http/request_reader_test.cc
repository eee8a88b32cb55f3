// Bytes in, requests out: every split, every refusal.
#include "http/request_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace ringside::test {
namespace {

using http::RequestReader;
using Step = RequestReader::Step;

constexpr RequestReader::Limits kLimits{.max_body_bytes = 1000, .max_header_bytes = 2000};

/// Puts bytes where the reader wants them, as a socket would.
void put(RequestReader& reader, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto space = reader.space();
    ASSERT_FALSE(space.empty());
    const std::size_t size = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), size);
    reader.commit(size);
    bytes.remove_prefix(size);
    if (bytes.empty()) return;
    ASSERT_NE(reader.advance(), Step::kRefused);
  }
}

struct Outcome {
  std::vector<mcp::Request> requests;
  int status = 0;  // of a refusal
};

/// Reads all that `pieces` hold.
Outcome read(const std::vector<std::string>& pieces) {
  RequestReader reader(kLimits);
  Outcome outcome;
  for (const auto& piece : pieces) {
    reader.append(piece);
    for (;;) {
      const Step step = reader.advance();
      if (step == Step::kRefused) {
        outcome.status = reader.refusal().status;
        return outcome;
      }
      if (step == Step::kNeedMore) break;
      if (step == Step::kDone) outcome.requests.push_back(reader.take());
    }
  }
  return outcome;
}

int status_of(const std::string& bytes) { return read({bytes}).status; }

std::string with_headers(const std::string& headers, const std::string& body = {}) {
  return "POST /mcp HTTP/1.1\r\nhost: x\r\n" + headers + "\r\n" + body;
}

const std::string kThree =
    "\r\nPOST /mcp?a=b?c HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nAccept: a/b\r\nCookie: b=2\r\naccept:\tc/d \r\n"
    "Content-Length: 11\r\n\r\nhello world"
    "\r\n\r\nPOST http://somewhere:80/servers/1/mcp HTTP/1.1\r\nhost: y\r\nTransfer-Encoding: Chunked\r\n\r\n"
    "3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n00\r\nauthorization: stolen\r\nx: y\r\n\r\n"
    "GET /health HTTP/1.0\r\n\r\n";

void expect_three(const Outcome& outcome) {
  ASSERT_EQ(outcome.status, 0);
  ASSERT_EQ(outcome.requests.size(), 3U);
  const auto& [first, second, third] = std::tie(outcome.requests[0], outcome.requests[1], outcome.requests[2]);
  EXPECT_EQ(first.method, "POST");
  EXPECT_EQ(first.path, "/mcp");
  EXPECT_EQ(first.query, "a=b?c");
  EXPECT_EQ(first.headers.get("cookie"), "a=1; b=2");
  EXPECT_EQ(first.headers.get("accept"), "a/b, c/d");
  EXPECT_EQ(first.body, "hello world");
  EXPECT_GE(first.body.capacity(), first.body.size() + mcp::kBodyPadding);
  EXPECT_EQ(second.path, "/servers/1/mcp");
  EXPECT_EQ(second.body, "abc0123456789");
  EXPECT_EQ(second.headers.find("authorization"), nullptr);
  EXPECT_EQ(second.headers.find("transfer-encoding"), nullptr);
  EXPECT_EQ(third.method, "GET");
  EXPECT_EQ(third.path, "/health");
}

TEST(RequestReader, requests_split_in_two_anywhere_read_the_same) {
  expect_three(read({kThree}));
  for (std::size_t at = 1; at < kThree.size(); ++at) {
    SCOPED_TRACE(at);
    expect_three(read({kThree.substr(0, at), kThree.substr(at)}));
  }
}

TEST(RequestReader, requests_in_crumbs_read_the_same) {
  std::vector<std::string> bytes;
  for (const char byte : kThree) bytes.emplace_back(1, byte);
  expect_three(read(bytes));
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> crumbs;
    for (std::size_t at = 0; at < kThree.size();) {
      const std::size_t size = 1 + random() % 20;
      crumbs.push_back(kThree.substr(at, size));
      at += size;
    }
    expect_three(read(crumbs));
  }
}

TEST(RequestReader, a_body_goes_straight_where_it_stays) {
  RequestReader reader({.max_body_bytes = 3'000'000, .max_header_bytes = 2000});
  std::string body(2'500'000, ' ');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 + i / 255);
  put(reader, with_headers("content-length: 2500000\r\n"));
  ASSERT_EQ(reader.advance(), Step::kNeedMore);
  put(reader, body);
  ASSERT_EQ(reader.advance(), Step::kDone);
  EXPECT_TRUE(reader.take().body == body);
  EXPECT_FALSE(reader.started());
}

TEST(RequestReader, a_promised_length_allocates_little) {
  RequestReader reader({.max_body_bytes = 64ULL << 20U, .max_header_bytes = 2000});
  reader.append(with_headers("content-length: 67108864\r\n"));
  ASSERT_EQ(reader.advance(), Step::kNeedMore);
  EXPECT_LE(reader.space().size(), 256U * 1024);
}

TEST(RequestReader, two_answers_to_where_a_body_ends_are_refused) {
  for (const std::string headers : {
           "content-length: 3\r\ntransfer-encoding: chunked\r\n",
           "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
           "content-length: 3\r\ncontent-length: 3\r\n",
           "content-length: 3\r\ncontent-length: 4\r\n",
           "content-length: 3, 3\r\n",
           "content-length: +3\r\n",
           "content-length: -1\r\n",
           "content-length: 0x3\r\n",
           "content-length: 3 3\r\n",
           "content-length:\r\n",
           "content-length: 99999999999999999999\r\n",
           "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
           "transfer-encoding: gzip, chunked\r\n",
           "transfer-encoding: chunked, identity\r\n",
           "transfer-encoding: xchunked\r\n",
           "transfer-encoding: identity\r\n",
           "transfer-encoding:\x0b chunked\r\n",
           "transfer-encoding : chunked\r\n",
           "content-length : 3\r\n",
           " content-length: 3\r\n",
           "x: y\r\n transfer-encoding: chunked\r\n",
           "x: y\ntransfer-encoding: chunked\r\n",
           "x: y\rtransfer-encoding: chunked\r\n",
       }) {
    EXPECT_EQ(status_of(with_headers(headers, "3\r\nabc\r\n0\r\n\r\n")), 400) << headers;
  }
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

TEST(RequestReader, headers_that_http_forbids_are_refused) {
  for (const std::string& headers :
       {std::string("x y: 1\r\n"), std::string(": 1\r\n"), std::string("x\r\n"), std::string("x: a\0b\r\n", 8),
        std::string("x: a\x01\r\n"), std::string("x: a\x7f\r\n"), std::string("x\x80: a\r\n"),
        std::string("x: a\r\n\tfolded\r\n"), std::string("connection: @\r\n")}) {
    EXPECT_EQ(status_of(with_headers(headers)), 400) << headers;
  }
}

TEST(RequestReader, headers_that_may_stand_once_are_refused_twice) {
  for (const std::string name : {"host", "mcp-session-id", "authorization"}) {
    EXPECT_EQ(status_of(with_headers(name + ": a\r\n" + name + ": a\r\n")), 400) << name;
  }
}

TEST(RequestReader, a_malformed_request_line_is_refused) {
  for (const std::string line : {"POST /mcp", "POST  /mcp HTTP/1.1", "POST /mcp HTTP/2.0", "POST /mcp HTTP/1.2",
                                 "POST /mcp http/1.1", "POST mcp HTTP/1.1", "PO ST /mcp HTTP/1.1", "POST /a b HTTP/1.1",
                                 "CONNECT x:80 HTTP/1.1", "POST /mcp HTTP/1.1 ", "POST \x01 HTTP/1.1"}) {
    EXPECT_EQ(status_of(line + "\r\nhost: x\r\n\r\n"), 400) << line;
  }
  EXPECT_EQ(status_of("POST /mcp HTTP/1.1\r\n\r\n"), 400) << "no host";
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n"), 0);
}

TEST(RequestReader, what_cannot_become_http_is_refused_at_its_first_bytes) {
  EXPECT_EQ(status_of("\x16\x03\x01\x02"), 400) << "a TLS hello";
  EXPECT_EQ(status_of("{\"jsonrpc\""), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\n"), 400) << "a bare line feed";
  EXPECT_EQ(status_of("\n"), 400);
}

TEST(RequestReader, headers_have_a_limit) {
  const std::string pad(kLimits.max_header_bytes, 'x');
  EXPECT_EQ(status_of(with_headers("x: " + pad + "\r\n")), 431);
  EXPECT_EQ(status_of(pad), 431);
  std::string most = with_headers("x: ");
  most.insert(most.size() - 2, std::string(kLimits.max_header_bytes - most.size() - 2, 'x') + "\r\n");
  ASSERT_EQ(most.size(), kLimits.max_header_bytes);
  EXPECT_EQ(read({most}).requests.size(), 1U);
  most.insert(most.size() - 4, "x");
  EXPECT_EQ(status_of(most), 431);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "a:\r\n";
  EXPECT_EQ(status_of(with_headers(many)), 431);
}

TEST(RequestReader, bodies_have_a_limit) {
  EXPECT_EQ(status_of(with_headers("content-length: 1001\r\n")), 413);
  EXPECT_EQ(status_of(with_headers("transfer-encoding: chunked\r\n", "3E9\r\n")), 413);
  EXPECT_EQ(status_of(with_headers("transfer-encoding: chunked\r\n", "1\r\nx\r\n3e8\r\n")), 413);
  EXPECT_EQ(status_of(with_headers("transfer-encoding: chunked\r\n", "ffffffffffffffff\r\n")), 413);
  EXPECT_EQ(read({with_headers("content-length: 1000\r\n", std::string(1000, 'x'))}).requests.size(), 1U);
  EXPECT_EQ(read({with_headers("transfer-encoding: chunked\r\n", "3E8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n")})
                .requests.size(),
            1U);
}

TEST(RequestReader, chunks_that_break_their_frame_are_refused) {
  for (const std::string& chunks :
       {std::string("\r\n"), std::string("x\r\n"), std::string("-1\r\n"), std::string("1 \n"), std::string("1\nx"),
        std::string("1\rx"), std::string("1\r\nxx"), std::string("1\r\nx\n"), std::string("1\r\nx\r0"),
        std::string("00000000000000001\r\nx\r\n"), std::string("1;a\x01\r\n"), std::string("0\r\n\rx"),
        std::string("0\r\nx: y\rz"), std::string("0\r\nx: \x02"), "1;" + std::string(2100, 'x'),
        "0\r\nx: " + std::string(2100, 'x'), std::string("1x\r\n")}) {
    EXPECT_EQ(status_of(with_headers("transfer-encoding: chunked\r\n", chunks)), 400) << chunks;
  }
}

TEST(RequestReader, a_client_that_waits_for_leave_gets_it_once) {
  RequestReader reader(kLimits);
  reader.append(with_headers("expect: 100-Continue\r\ncontent-length: 2\r\n"));
  EXPECT_EQ(reader.advance(), Step::kContinue);
  EXPECT_EQ(reader.advance(), Step::kNeedMore);
  reader.append("ok");
  EXPECT_EQ(reader.advance(), Step::kDone);
  EXPECT_EQ(reader.take().body, "ok");
  reader.append(with_headers("expect: 100-continue\r\ncontent-length: 2\r\n", "o"));
  EXPECT_EQ(reader.advance(), Step::kNeedMore) << "it sends already";
  EXPECT_EQ(status_of(with_headers("expect: a-miracle\r\n")), 417);
  EXPECT_EQ(status_of(with_headers("expect: 100-continue\r\ncontent-length: 1001\r\n")), 413);
}

TEST(RequestReader, the_form_says_how_to_answer) {
  const auto form_of = [](const std::string& bytes) {
    RequestReader reader(kLimits);
    reader.append(bytes);
    EXPECT_EQ(reader.advance(), Step::kDone) << bytes;
    return reader.form();
  };
  EXPECT_TRUE(form_of("GET / HTTP/1.1\r\nhost: x\r\n\r\n").keep_alive);
  EXPECT_FALSE(form_of("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").keep_alive);
  EXPECT_FALSE(form_of("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(form_of("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").keep_alive);
  EXPECT_TRUE(form_of("GET / HTTP/1.0\r\n\r\n").http_1_0);
  EXPECT_TRUE(form_of("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").head);
}

TEST(RequestReader, random_damage_never_does_harm) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = kThree;
    for (auto hits = 1 + random() % 4; hits > 0; --hits) {
      const std::size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged.erase(at, 1 + random() % 5);
          break;
        default:
          damaged.insert(at, 1, "\r\n \t:;0\x7f"[random() % 8]);
          break;
      }
    }
    const std::size_t split = random() % damaged.size();
    const Outcome outcome = read({damaged.substr(0, split), damaged.substr(split)});
    EXPECT_LE(outcome.requests.size(), 4U);
  }
}

}  // namespace
}  // namespace ringside::test
