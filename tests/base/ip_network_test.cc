// Addresses and networks, whatever dress they come in.
#include "base/ip_network.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

namespace ringside {
namespace {

bool is_in(const std::string& address, const std::string& network) {
  const auto parsed = IpNetwork::parse(network);
  const auto ip = parse_ip(address);
  EXPECT_TRUE(parsed) << network;
  EXPECT_TRUE(ip) << address;
  return parsed && ip && parsed->contains(*ip);
}

TEST(IpNetwork, holds_what_its_prefix_says) {
  EXPECT_TRUE(is_in("169.254.169.254", "169.254.0.0/16"));
  EXPECT_FALSE(is_in("169.255.0.1", "169.254.0.0/16"));
  EXPECT_TRUE(is_in("10.127.255.255", "10.64.0.0/10"));
  EXPECT_FALSE(is_in("10.128.0.0", "10.64.0.0/10"));
  EXPECT_TRUE(is_in("1.2.3.4", "1.2.3.4"));
  EXPECT_FALSE(is_in("1.2.3.5", "1.2.3.4"));
  EXPECT_TRUE(is_in("8.8.8.8", "0.0.0.0/0"));
  EXPECT_TRUE(is_in("fe80::1", "fe80::/10"));
  EXPECT_TRUE(is_in("[febf::1]", "fe80::/10"));
  EXPECT_FALSE(is_in("fec0::1", "fe80::/10"));
  EXPECT_TRUE(is_in("fd00:ec2::254", "fd00:ec2::254/128"));
  EXPECT_FALSE(is_in("fd00:ec2::253", "fd00:ec2::254/128"));
}

TEST(IpNetwork, an_ipv4_address_in_the_dress_of_an_ipv6_one_is_still_itself) {
  EXPECT_TRUE(is_in("::ffff:169.254.169.254", "169.254.0.0/16"));
  EXPECT_TRUE(is_in("64:ff9b::a9fe:a9fe", "169.254.0.0/16")) << "behind a NAT64";
  EXPECT_FALSE(is_in("::1", "0.0.0.0/0")) << "and no other is one";
}

TEST(IpNetwork, is_read_strictly) {
  for (const char* text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "::/129", "host", "10.0"}) {
    EXPECT_FALSE(IpNetwork::parse(text)) << text;
  }
  EXPECT_FALSE(parse_ip("localhost"));
}

TEST(IpNetwork, socket_addresses_count_as_what_they_are) {
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  ipv4.sin_addr.s_addr = htonl(0x7f000001);
  EXPECT_EQ(ip_of(reinterpret_cast<const sockaddr&>(ipv4)), parse_ip("127.0.0.1"));
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_addr = in6addr_loopback;
  EXPECT_EQ(ip_of(reinterpret_cast<const sockaddr&>(ipv6)), parse_ip("::1"));
  ipv4.sin_family = AF_UNIX;
  EXPECT_EQ(ip_of(reinterpret_cast<const sockaddr&>(ipv4)), std::nullopt);
}

}  // namespace
}  // namespace ringside
