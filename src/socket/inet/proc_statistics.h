// /proc/net/snmp, netstat, arp, ipv6_route and sockstat6 (proc_pid_net(5)). Counters are of IPv4 and IPv6 together.
#pragma once

#include <string>

#include "netstack/stack.h"

namespace cofferdam::inet {

std::string snmp_table(netstack::Stack&);
std::string netstat_table(netstack::Stack&);
std::string arp_table(netstack::Stack&);
std::string route6_table(netstack::Stack&);
std::string socket6_account(netstack::Stack&);

}  // namespace cofferdam::inet
