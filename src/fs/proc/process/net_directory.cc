// /proc/PID/net: what the families of sockets tell; the rest is empty tables.
#include <dirent.h>
#include <sys/socket.h>

#include <array>

#include "fs/proc/process/process_directory.h"
#include "kernel/ipc/socket.h"
#include "kernel/kernel.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

struct NetFile {
  std::string_view name, text;
};
constexpr std::array<NetFile, 23> net_files{{
    {"arp", "IP address       HW type     Flags       HW address            Mask     Device\n"},
    {"dev",
     "Inter-|   Receive                                                |  Transmit\n"
     " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
     "compressed\n"
     "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0  "
     "   "
     "     0\n"},
    {"icmp", ""},
    {"icmp6", ""},
    {"if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"},
    {"igmp", "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"},
    {"igmp6", ""},
    {"ipv6_route", ""},
    {"netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"},
    {"netstat", ""},
    {"packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"},
    {"protocols",
     "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh "
     "gp em\n"},
    {"raw",
     "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
     "drops\n"},
    {"raw6", ""},
    {"route",
     "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
     "                                                       \n"},
    {"snmp", ""},
    {"sockstat",
     "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse "
     "0\nFRAG: inuse 0 memory 0\n"},
    {"sockstat6", "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n"},
    {"tcp",
     "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
     "                                                     \n"},
    {"tcp6",
     "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
     "tm->when "
     "retrnsmt   uid  timeout inode\n"},
    {"udp",
     "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
     "drops"
     "            \n"},
    {"udp6",
     "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
     "tm->when "
     "retrnsmt   uid  timeout inode ref pointer drops\n"},
    {"unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"},
}};

class NetText final : public TargetInode<PseudoText> {
 public:
  NetText(PseudoFileSystem& fs, Target const& target, uint32_t index)
      : TargetInode(fs, target, number_of(target, NumberKind::Net, index), S_IFREG | 0444), index_(index) {}
  Result<std::string> text(Task& task) override {
    for (int domain : {AF_INET, AF_UNIX, AF_NETLINK, AF_PACKET}) {
      auto* family = task.kernel().ipc().sockets.find(domain);
      if (auto told = family ? family->proc_net(net_files[index_].name) : std::nullopt) return std::move(*told);
    }
    return std::string(net_files[index_].text);
  }

 protected:
  void owner(uid_t&, gid_t&) override {}  // root's: they are the namespace's, not the process's

 private:
  uint32_t index_;
};

class NetDirectory final : public TargetInode<PseudoDirectory> {
 public:
  using TargetInode::TargetInode;
  Result<Ref<Inode>> lookup(std::string_view name) override {
    for (uint32_t i = 0; i < net_files.size(); ++i)
      if (net_files[i].name == name) return Ref<Inode>(make_ref<NetText>(pseudo_file_system(), target(), i));
    return fail(Errno::NoEnt);
  }
  Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) override {
    std::vector<PseudoEntry> entries;
    for (uint64_t i = from - 2; i < net_files.size(); ++i)
      entries.push_back({std::string(net_files[i].name), number_of(target(), NumberKind::Net, static_cast<uint32_t>(i)),
                         DT_REG, i + 2});
    return entries;
  }
};

}  // namespace

Ref<Inode> make_net_directory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent) {
  return make_ref<NetDirectory>(fs, target, number, parent);
}

}  // namespace cofferdam::fs::proc
