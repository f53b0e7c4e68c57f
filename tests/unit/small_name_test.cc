#include "base/small_name.h"

#include <gtest/gtest.h>

#include <string>

namespace cofferdam {
namespace {

TEST(SmallName, keeps_every_length_and_every_byte) {
  static_assert(sizeof(SmallName) == 16);
  for (size_t n = 0; n <= SmallName::max_length; ++n) {
    std::string text(n, '\0');
    for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 7 + n);
    SmallName const name(text);
    EXPECT_EQ(name.view(), text);
    EXPECT_EQ(name.empty(), n == 0);
    EXPECT_TRUE(name == text);
    EXPECT_FALSE(name == text + "x");
  }
  EXPECT_EQ(SmallName(std::string(1000, 'a')).view(), std::string(SmallName::max_length, 'a'));
}

TEST(SmallName, moves_and_swaps_between_inside_and_outside) {
  std::string const small = "short", large(200, 'l');
  SmallName a(small), b(large);
  a.swap(b);
  EXPECT_EQ(a.view(), large);
  EXPECT_EQ(b.view(), small);
  SmallName c(std::move(a));
  EXPECT_EQ(c.view(), large);
  b = std::move(c);
  EXPECT_EQ(b.view(), large);
  c = SmallName();
  EXPECT_TRUE(c.empty());
}

}  // namespace
}  // namespace cofferdam
