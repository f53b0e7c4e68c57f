#include "kernel/cred/id_change.h"

#include <gtest/gtest.h>
#include <linux/securebits.h>

namespace cofferdam::kernel {
namespace {

Ref<Credentials> root() {
  auto c = make_ref<Credentials>();
  c->permitted = c->effective = CapabilitySet::full();
  return c;
}

Ref<Credentials> user(uid_t id) {
  auto c = make_ref<Credentials>();
  c->uid = c->euid = c->suid = c->fsuid = id;
  c->gid = c->egid = c->sgid = c->fsgid = id;
  return c;
}

TEST(IdChange, setuid_of_root_sets_all_and_drops_capabilities) {
  auto c = with_uid(*root(), 1000);
  ASSERT_TRUE(c);
  EXPECT_EQ((*c)->uid, 1000u);
  EXPECT_EQ((*c)->suid, 1000u);
  EXPECT_EQ((*c)->fsuid, 1000u);
  EXPECT_EQ((*c)->permitted.bits(), 0u);
  EXPECT_EQ((*c)->effective.bits(), 0u);
}

TEST(IdChange, keep_caps_keeps_the_permitted_ones_only) {
  auto old = root();
  old->securebits = issecure_mask(SECURE_KEEP_CAPS);
  auto c = with_uid(*old, 1000);
  EXPECT_EQ((*c)->permitted, CapabilitySet::full());
  EXPECT_EQ((*c)->effective.bits(), 0u);
}

TEST(IdChange, no_setuid_fixup_keeps_all) {
  auto old = root();
  old->securebits = issecure_mask(SECURE_NO_SETUID_FIXUP);
  EXPECT_EQ((*with_uid(*old, 1000))->effective, CapabilitySet::full());
}

TEST(IdChange, seteuid_away_and_back) {
  auto away = with_all_uids(*root(), no_id, 1000, no_id);
  ASSERT_TRUE(away);
  EXPECT_EQ((*away)->effective.bits(), 0u);
  EXPECT_EQ((*away)->permitted, CapabilitySet::full());
  auto back = with_all_uids(**away, no_id, 0, no_id);
  ASSERT_TRUE(back);
  EXPECT_EQ((*back)->effective, CapabilitySet::full());
}

TEST(IdChange, users_move_between_their_own_ids_only) {
  auto old = user(1000);
  old->suid = 1001;
  EXPECT_EQ((*with_uid(*old, 1001))->euid, 1001u);
  EXPECT_EQ((*with_uid(*old, 1001))->suid, 1001u);
  EXPECT_EQ(with_uid(*old, 5).error().code, Errno::Perm);
  EXPECT_EQ(with_uid(*old, no_id).error().code, Errno::Inval);
  EXPECT_EQ(with_all_uids(*old, 5, no_id, no_id).error().code, Errno::Perm);
  EXPECT_TRUE(with_all_uids(*old, 1001, 1000, 1001));
}

TEST(IdChange, setreuid_saves_the_new_effective_id) {
  auto old = root();
  auto c = with_real_effective_uid(*old, 1000, 1001);
  EXPECT_EQ((*c)->suid, 1001u);
  auto swapped = with_real_effective_uid(**c, 1001, 1000);
  ASSERT_TRUE(swapped);
  EXPECT_EQ((*swapped)->uid, 1001u);
  EXPECT_EQ((*swapped)->suid, 1000u);
  auto kept = with_real_effective_uid(*user(7), no_id, 7);
  EXPECT_EQ((*kept)->suid, 7u);
}

TEST(IdChange, groups_leave_capabilities_alone) {
  auto c = with_gid(*root(), 5);
  EXPECT_EQ((*c)->egid, 5u);
  EXPECT_EQ((*c)->effective, CapabilitySet::full());
  EXPECT_EQ(with_gid(*user(1000), 5).error().code, Errno::Perm);
  EXPECT_EQ(with_all_gids(*user(1000), no_id, 5, no_id).error().code, Errno::Perm);
}

TEST(IdChange, fsuid_carries_the_file_capabilities) {
  auto away = with_fsuid(*root(), 1000);
  ASSERT_TRUE(away);
  EXPECT_FALSE(away->effective.has(CAP_DAC_OVERRIDE));
  EXPECT_TRUE(away->effective.has(CAP_NET_ADMIN));
  auto back = with_fsuid(*away, 0);
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->effective.has(CAP_DAC_OVERRIDE));
  EXPECT_FALSE(with_fsuid(*user(1000), 0));
}

TEST(IdChange, capset_never_adds_to_the_permitted_set) {
  auto old = user(1000);
  CapabilitySet chown = CapabilitySet().with(CAP_CHOWN), kill = CapabilitySet().with(CAP_KILL);
  old->permitted = chown;
  EXPECT_EQ(with_capabilities(*old, {}, chown | kill, {}).error().code, Errno::Perm);
  EXPECT_EQ(with_capabilities(*old, kill, chown, {}).error().code, Errno::Perm);
  EXPECT_EQ(with_capabilities(*old, {}, chown, kill).error().code, Errno::Perm);
  EXPECT_TRUE(with_capabilities(*old, chown, chown, chown));
}

TEST(IdChange, capset_lowers_the_ambient_set) {
  auto old = user(1000);
  CapabilitySet chown = CapabilitySet().with(CAP_CHOWN);
  old->permitted = old->inheritable = old->ambient = chown;
  EXPECT_EQ((*with_capabilities(*old, {}, chown, {}))->ambient.bits(), 0u);
}

}  // namespace
}  // namespace cofferdam::kernel
