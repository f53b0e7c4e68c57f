#include <gtest/gtest.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "socket/unix/family.h"

namespace cofferdam::unix_sockets {
namespace {

kernel::SocketAddress address(std::string const& path, size_t length_of_path) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), std::min(path.size(), sizeof un.sun_path));
  kernel::SocketAddress a;
  std::memcpy(&a.storage, &un, sizeof un);
  a.length = static_cast<uint32_t>(offsetof(sockaddr_un, sun_path) + length_of_path);
  return a;
}

TEST(UnixNameTest, a_path_ends_at_its_nul_or_at_the_length) {
  EXPECT_EQ(parse(address("/run/x", 108), AddressUse::Connect), "/run/x");
  EXPECT_EQ(parse(address("/run/x", 4), AddressUse::Connect), "/run");
  std::string longest(108, 'l');
  EXPECT_EQ(parse(address(longest, 108), AddressUse::Bind), longest);
}

TEST(UnixNameTest, an_abstract_name_is_taken_whole) {
  std::string name("\0a\0b", 4);
  EXPECT_EQ(parse(address(name, 4), AddressUse::Bind), name);
  EXPECT_EQ(parse(address(name, 2), AddressUse::Bind), name.substr(0, 2));
}

TEST(UnixNameTest, lengths_and_families_that_no_name_has_are_einval) {
  EXPECT_EQ(parse(address("x", 109), AddressUse::Bind).error(), Errno::Inval);
  EXPECT_EQ(parse(address("", 0), AddressUse::Connect).error(), Errno::Inval);
  EXPECT_EQ(parse(address("", 0), AddressUse::Bind), "");
  auto inet = address("x", 1);
  inet.storage.ss_family = AF_INET;
  EXPECT_EQ(parse(inet, AddressUse::Bind).error(), Errno::Inval);
  EXPECT_EQ(parse(kernel::SocketAddress(), AddressUse::Bind).error(), Errno::Inval);
}

TEST(UnixNameTest, addresses_go_back_to_the_guest_with_linux_lengths) {
  EXPECT_EQ(make_ref<Name const>("/p")->address().length, 2u + 3);
  EXPECT_EQ(make_ref<Name const>(std::string("\0abc", 4))->address().length, 2u + 4);
  EXPECT_EQ(make_ref<Name const>(std::string(108, 'l'))->address().length, 2u + 109);
  EXPECT_EQ(nameless_address().length, 2u);
}

TEST(UnixFamilyTest, abstract_names_are_taken_once_and_freed_by_their_owner) {
  Family family({});
  auto a = make_ref<Endpoint>(family, SOCK_STREAM, 4096), b = make_ref<Endpoint>(family, SOCK_STREAM, 4096);
  auto name = make_ref<Name const>(std::string("\0n", 2));
  ASSERT_TRUE(family.register_name(name, a).has_value());
  EXPECT_EQ(family.register_name(name, b).error(), Errno::AddrInUse);
  EXPECT_EQ(family.find_name(name->bytes()), a);
  family.unregister_name(*name, *b);
  EXPECT_EQ(family.find_name(name->bytes()), a);
  family.unregister_name(*name, *a);
  EXPECT_FALSE(family.find_name(name->bytes()));
}

std::unique_ptr<Message> message_of(Ref<Endpoint> const& sender, std::string const& text) {
  auto m = std::make_unique<Message>();
  m->data = std::make_unique<std::byte[]>(text.size());
  std::memcpy(m->data.get(), text.data(), text.size());
  m->size = text.size();
  m->sender = sender;
  m->charge = charge_of(m->size);
  sender->charge(m->charge);
  return m;
}

TEST(UnixMessageTest, a_queue_counts_what_is_unread_and_gives_the_charge_back) {
  Family family({});
  auto sender = make_ref<Endpoint>(family, SOCK_STREAM, 8192);
  {
    MessageQueue queue;
    queue.push(message_of(sender, "first"));
    queue.push(message_of(sender, "second"));
    EXPECT_EQ(queue.count(), 2u);
    EXPECT_EQ(queue.bytes(), 11u);
    EXPECT_EQ(sender->charged(), 2 * charge_of(5));
    queue.front()->read = 2;
    queue.note_read(2);
    EXPECT_EQ(queue.bytes(), 9u);
    EXPECT_EQ(queue.pop()->rest().size(), 3u);
    EXPECT_EQ(sender->charged(), charge_of(6));
  }
  EXPECT_EQ(sender->charged(), 0u);
}

void join(Ref<Endpoint> const& a, Ref<Endpoint> const& b) {
  PairLock lock(*a, *b);
  a->assert_locked();
  b->assert_locked();
  a->peer = b;
  b->peer = a;
  a->state = b->state = State::Connected;
  a->messages.push(message_of(b, "unread"));
}

TEST(UnixEndpointTest, closing_one_end_shuts_the_other_and_resets_it_when_data_was_unread) {
  Family family({});
  auto a = make_ref<Endpoint>(family, SOCK_STREAM, 8192), b = make_ref<Endpoint>(family, SOCK_STREAM, 8192);
  join(a, b);
  a->close(false);
  EXPECT_EQ(b->charged(), 0u);
  MutexLock lock(b->mutex);
  EXPECT_TRUE(b->shut_read && b->shut_write);
  EXPECT_EQ(b->pending_error, ECONNRESET);
  b->peer = {};
}

}  // namespace
}  // namespace cofferdam::unix_sockets
