#include <gtest/gtest.h>

#include "shim/metrics.h"
#include "shim/options.h"
#include "shim/proto/metrics.pb.h"
#include "shim/proto/task.pb.h"
#include "shim/ttrpc_frame.h"

namespace cofferdam::shim {
namespace {

TEST(ShimFrames, ComeTogetherFromSingleBytes) {
  std::string const bytes =
      print_frame(1, FrameKind::Request, "first") + print_frame(0xfffffffd, FrameKind::Response, "");
  FrameReader reader;
  std::vector<TtrpcFrame> frames;
  for (char const byte : bytes) {
    reader.feed({&byte, 1});
    auto frame = reader.next();
    ASSERT_TRUE(frame);
    if (*frame) frames.push_back(**frame);
  }
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].payload, "first");
  EXPECT_EQ(frames[0].stream, 1u);
  EXPECT_EQ(frames[1].stream, 0xfffffffdu);
  EXPECT_EQ(frames[1].kind, FrameKind::Response);
}

TEST(ShimFrames, SeveralAtOnceAndTheRestLater) {
  std::string const one = print_frame(3, FrameKind::Request, std::string(1000, 'x'));
  FrameReader reader;
  reader.feed(one + one + one.substr(0, 500));
  EXPECT_TRUE(reader.next()->has_value());
  EXPECT_TRUE(reader.next()->has_value());
  EXPECT_FALSE(reader.next()->has_value());
  reader.feed(one.substr(500));
  EXPECT_EQ((*reader.next())->payload.size(), 1000u);
}

TEST(ShimFrames, OnesThatAreTooLongAreRefusedBeforeTheyCome) {
  FrameReader reader;
  reader.feed(std::string_view("\x00\x40\x00\x01\x00\x00\x00\x01\x01\x00", 10));
  EXPECT_FALSE(reader.next());
}

TEST(ShimOptions, FileOfOurOwn) {
  auto const options = parse_options(
      "# a comment\n\nbinary = \"/usr/bin/cofferdam\"  # there\n overlay=\"memory\"\nstrace = true\ndebug = false\n",
      "file");
  ASSERT_TRUE(options) << options.error();
  EXPECT_EQ(options->binary, "/usr/bin/cofferdam");
  EXPECT_EQ(options->globals, (std::vector<std::string>{"--overlay", "memory", "--strace"}));
}

TEST(ShimOptions, WhatIsWrongIsNamedWithItsLine) {
  for (auto const& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"\nnonsense = true", "file: line 2: 'nonsense' is no option"},
           {"strace = \"yes\"", "file: line 1: 'strace' wants true or false"},
           {"overlay = true", "file: line 1: 'overlay' wants a string"},
           {"overlay", "file: line 1: give KEY = VALUE"},
           {"overlay = \"memory", "file: line 1: a string is not closed"},
           {"overlay = \"memory\" x", "file: line 1: something follows the string"},
           {"overlay = memory", "file: line 1: a value is a string in double quotes, true or false"}}) {
    auto const options = parse_options(text, "file");
    ASSERT_FALSE(options) << text;
    EXPECT_EQ(options.error(), why);
  }
}

TEST(ShimOptions, OfRuncsShim) {
  wire::RuncOptions runc;
  runc.set_binary_name("b");
  runc.set_root("/r");
  runc.set_systemd_cgroup(true);
  for (char const* type : {"containerd.runc.v1.Options", "type.googleapis.com/containerd.runc.v1.Options"}) {
    auto const options = decode_options(type, runc.SerializeAsString());
    ASSERT_TRUE(options);
    EXPECT_EQ(options->binary, "b");
    EXPECT_EQ(record_root(*options, "space"), "/r/space");
    EXPECT_EQ(options->globals, std::vector<std::string>{"--systemd-cgroup"});
  }
  EXPECT_FALSE(decode_options("some.other.Options", ""));
  EXPECT_FALSE(decode_options("containerd.runc.v1.Options", "\xff\xff"));
}

constexpr char event[] = R"({"type":"stats","id":"x","data":{
  "cpu":{"usage":{"total":7000000,"kernel":2000000,"user":5000000},"throttling":{"periods":3,"throttledPeriods":2,"throttledTime":9000}},
  "memory":{"usage":{"limit":1000,"usage":500,"max":600,"failcnt":4},"swap":{"limit":1500,"usage":550},"raw":{"total_inactive_file":11,"anon":12,"inactive_file":13}},
  "pids":{"current":5,"limit":10}}})";

TEST(ShimMetrics, OfCgroupVersion1) {
  auto const found = encode_metrics(event, CgroupVersion::V1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->type, "io.containerd.cgroups.v1.Metrics");
  metrics::V1 m;
  ASSERT_TRUE(m.ParseFromString(found->value));
  EXPECT_EQ(m.cpu().usage().total(), 7000000u);
  EXPECT_EQ(m.memory().usage().limit(), 1000u);
  EXPECT_EQ(m.memory().usage().failcnt(), 4u);
  EXPECT_EQ(m.memory().total_inactive_file(), 11u);
  EXPECT_EQ(m.pids().current(), 5u);
}

TEST(ShimMetrics, OfCgroupVersion2) {
  auto const found = encode_metrics(event, CgroupVersion::V2);
  ASSERT_TRUE(found);
  metrics::V2 m;
  ASSERT_TRUE(m.ParseFromString(found->value));
  EXPECT_EQ(m.cpu().usage_usec(), 7000u);
  EXPECT_EQ(m.memory().usage(), 500u);
  EXPECT_EQ(m.memory().anon(), 12u);
  EXPECT_EQ(m.memory().inactive_file(), 13u);
  EXPECT_EQ(m.memory().swap_usage(), 50u);
  EXPECT_EQ(m.memory().swap_limit(), 500u);
  EXPECT_FALSE(encode_metrics("nonsense", CgroupVersion::V2));
}

}  // namespace
}  // namespace cofferdam::shim
